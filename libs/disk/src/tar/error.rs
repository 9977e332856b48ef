use std::io;

/// Why a tar stream cannot be read on. Offsets are bytes from the start of the stream.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source of the stream failed.
    #[error("reading the tar stream at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// The failure of the source.
        #[source]
        source: io::Error,
    },
    /// The stream stops where more was promised.
    #[error("the tar stream ends at byte {offset}, in {part}")]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// What was being read.
        part: &'static str,
    },
    /// A header record does not have the checksum it claims.
    #[error("tar header at byte {offset}: wrong checksum")]
    Checksum {
        /// Start of the record.
        offset: u64,
    },
    /// A header field or extension record makes no sense.
    #[error("tar header at byte {offset}: {field}: {reason}")]
    Field {
        /// Start of the record.
        offset: u64,
        /// The field or PAX key.
        field: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry of a type no layer may contain.
    #[error("tar header at byte {offset}: entries of type {type_flag:?} are not supported ({path})")]
    Type {
        /// Start of the record.
        offset: u64,
        /// The type byte.
        type_flag: char,
        /// Name of the entry.
        path: String,
    },
}

impl TarError {
    pub(super) fn field(offset: u64, field: impl Into<String>, reason: &'static str) -> Self {
        Self::Field { offset, field: field.into(), reason }
    }
}
