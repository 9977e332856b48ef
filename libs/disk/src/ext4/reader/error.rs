use std::io;

/// Why a file system cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed or is shorter than the file system.
    #[error("reading the disk at byte {at}")]
    Io {
        /// Where.
        at: u64,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// There is no ext2, ext3 or ext4 superblock.
    #[error("not an ext4 file system")]
    NotExt4,
    /// The disk has no room for any file system.
    #[error("{size} bytes hold no file system: the smallest ext4 has more than {least}")]
    TooShort {
        /// Bytes of the disk.
        size: u64,
        /// Bytes up to the end of the superblock.
        least: u64,
    },
    /// The end of the file system is missing.
    #[error("the file system has {expected} bytes, but only {size} of them are there")]
    Truncated {
        /// Bytes of the disk.
        size: u64,
        /// Bytes of the file system.
        expected: u64,
    },
    /// It uses something that this reader does not know.
    #[error("the file system uses {what}, which is not supported")]
    Unsupported {
        /// The feature.
        what: String,
    },
    /// A structure is damaged.
    #[error("damaged file system: {part} {number}: {reason}")]
    Corrupt {
        /// Kind of structure.
        part: &'static str,
        /// Inode or block number.
        number: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing has this name.
    #[error("{path:?} does not exist")]
    NotFound {
        /// The name, with bytes outside UTF-8 replaced.
        path: String,
    },
    /// Something else has this name.
    #[error("inode {inode} is not a {expected}")]
    Kind {
        /// What was found.
        inode: u32,
        /// What was asked for.
        expected: &'static str,
    },
}

pub(super) fn corrupt(part: &'static str, number: impl Into<u64>, reason: &'static str) -> ReadError {
    ReadError::Corrupt { part, number: number.into(), reason }
}
