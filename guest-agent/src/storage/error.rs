//! What can go wrong with storage.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a storage operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, directory or device.
    #[error("{operation} {path}", path = .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A mount.
    #[error("mounting {source_path} on {target} as {kind}", source_path = .source_path.display(), target = .target.display())]
    Mount {
        /// What.
        source_path: PathBuf,
        /// Where.
        target: PathBuf,
        /// File system type.
        kind: String,
        /// Why it failed.
        #[source]
        source: nix::Error,
    },
    /// The disk did not show up.
    #[error("no disk appeared at SCSI controller {controller} LUN {lun} within {seconds} s")]
    NoDisk {
        /// Controller index.
        controller: u8,
        /// LUN.
        lun: u8,
        /// How long we waited.
        seconds: u64,
    },
    /// A controller that the VM does not have.
    #[error("there is no SCSI controller {0}")]
    NoController(u8),
    /// The disk carries no file system that we know, and none was asked for.
    #[error("{path} has no known file system", path = .0.display())]
    UnknownFilesystem(PathBuf),
    /// A file system that cannot be made here.
    #[error("unsupported filesystem {0:?}: only ext4 can be made")]
    UnsupportedFilesystem(String),
    /// Formatting failed.
    #[error("formatting {path}", path = .path.display())]
    Format {
        /// The device.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: lcow_disk::ext4::mkfs::MkfsError,
    },
    /// A mapped device.
    #[error(transparent)]
    DeviceMapper(#[from] super::device_mapper::Error),
    /// A layer that is not what it has to be.
    #[error("the layer {path} is refused: {reason}", path = .path.display())]
    Verity {
        /// The device or its mount path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An assigned device did not show up.
    #[error("no PCI device appeared at VMBus device {id} within {seconds} s")]
    NoPciDevice {
        /// The VMBus device.
        id: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The host's server.
    #[error(transparent)]
    Dial(#[from] crate::transport::DialError),
    /// A request that cannot be honoured.
    #[error("{0}")]
    Invalid(String),
    /// Something else is mounted inside.
    #[error("{path} is a mount point and is not removed", path = .0.display())]
    MountInside(PathBuf),
    /// A defect of ours.
    #[error("a storage task failed; see the agent's log")]
    Panicked,
}

impl Error {
    /// For `map_err` on file operations.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}
