//! What can go wrong with layer disks.

use std::io;
use std::path::{Path, PathBuf};

use lcow_disk::ext4::layer::LayerError;
use lcow_oci::store::StoreError;

/// Why there is no disk for a layer.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The layer's blob cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layer cannot be turned into a disk.
    #[error("cannot convert layer {layer} to {}", disk.display())]
    Convert {
        /// Digest of the stored blob, or those of several.
        layer: String,
        /// The disk, under the name that it has until it is whole.
        disk: PathBuf,
        /// Why. In a box, for paths are larger on Windows and make this the largest error by far.
        source: Box<LayerError>,
    },
    /// A file of the cache failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CacheError {
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}
