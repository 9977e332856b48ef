use std::io;

use crate::tar::TarError;

/// Why a layer cannot be converted. Paths are shown with bytes outside UTF-8 replaced.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The stream is not a proper tar archive, or its source failed.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The content of a file that does not come from an archive cannot be read, or is shorter than promised.
    #[error("reading the content of {path:?}")]
    Source {
        /// Name of the file.
        path: String,
        /// The failure of the source.
        #[source]
        source: io::Error,
    },
    /// The disk cannot be written.
    #[error("writing {part} of the layer disk")]
    Write {
        /// What was being written.
        part: &'static str,
        /// The failure of the destination.
        #[source]
        source: io::Error,
    },
    /// An entry has a name that cannot be.
    #[error("entry {path:?}: {reason}")]
    Name {
        /// Name as the archive has it.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry lies below something that is not a directory.
    #[error("entry {path:?}: {at:?} is not a directory")]
    NotDirectory {
        /// Name as the archive has it.
        path: String,
        /// The part of it in the way.
        at: String,
    },
    /// A hard link cannot be made.
    #[error("hard link {path:?} to {target:?}: {reason}")]
    HardLink {
        /// Name of the link.
        path: String,
        /// Name it points to.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// An attribute of an entry cannot be stored.
    #[error("entry {path:?}: {attribute}: {reason}")]
    Attribute {
        /// Name as the archive has it.
        path: String,
        /// Which attribute.
        attribute: String,
        /// Why not.
        reason: &'static str,
    },
    /// The image would be larger than allowed.
    #[error("the layer does not fit into a file system of {limit} bytes")]
    TooLarge {
        /// [`super::Options::max_size`].
        limit: u64,
    },
}

/// A name for a message.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
