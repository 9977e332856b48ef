//! Scratch disks: what a container writes.

use std::path::Path;

use lcow_disk::ext4::mkfs::{self, MkfsError};
use lcow_disk::vhdx::{self, VhdxError};

/// Size of a scratch disk unless another is asked for. It takes only the space that is written to.
pub const DEFAULT_SCRATCH_SIZE: u64 = 20 << 30;

/// Why there is no scratch disk.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// As a raw file.
    #[error(transparent)]
    Raw(#[from] MkfsError),
    /// As a VHDX.
    #[error(transparent)]
    Vhdx(#[from] VhdxError),
}

/// Makes an empty disk with ext4 on it. On Windows it is a VHDX, which Hyper-V attaches; elsewhere a sparse file does.
pub fn create_scratch(path: &Path, size: u64) -> Result<(), ScratchError> {
    let options = mkfs::Options::default();
    if cfg!(windows) {
        vhdx::create_ext4(path, size, &options)?;
    } else {
        mkfs::create(path, size, &options)?;
    }
    Ok(())
}
