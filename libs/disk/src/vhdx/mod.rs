//! Dynamic VHDX disks ([MS-VHDX], "Virtual Hard Disk v2 (VHDX) File Format"): sparse whatever the host's file system.
//!
//! [`Disk`] is a new, empty disk that takes writes anywhere; blocks of 1 MiB come into being as they are touched. The
//! file's own tables are written by [`Disk::finish`]. Its log is empty. [`Reader`] reads
//! disks of any origin, also what is only in their logs yet, [`grow`] makes them larger.
mod crc;
mod disk;
mod header;
mod log;
mod parse;
mod reader;
mod resize;
mod tables;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use disk::Disk;
pub use reader::{Reader, is_vhdx};
pub use resize::grow;

use crate::ext4::mkfs::{self, Backing, Made, MkfsError};

/// Bytes per block.
pub const BLOCK_SIZE: u64 = 1 << 20;
/// Largest disk the format knows: 64 TiB.
pub const MAX_SIZE: u64 = 64 << 40;

/// Why a disk cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum VhdxError {
    /// A size that no such disk has.
    #[error("a VHDX cannot have {size} bytes: it must be a multiple of 512, not zero and at most 64 TiB")]
    Size {
        /// The size.
        size: u64,
    },
    /// The file cannot be written.
    #[error("writing {part} of the VHDX")]
    Write {
        /// What was being written.
        part: &'static str,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("reading {part} of the VHDX")]
    Read {
        /// What was being read.
        part: &'static str,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The file is shorter than its own structures say.
    #[error("the VHDX ends before the end of {part}")]
    Truncated {
        /// What should be there.
        part: &'static str,
    },
    /// The file is not what it claims to be.
    #[error("damaged VHDX: {reason}")]
    Damaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// It has something that is not known here.
    #[error("the VHDX has {what}, which is not supported")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// Disks only grow: what a file system has at the end would be lost.
    #[error("the VHDX has {current} bytes and cannot shrink to {size}")]
    Shrink {
        /// Size that was asked for.
        size: u64,
        /// Size it has.
        current: u64,
    },
    /// The file cannot be made.
    #[error("creating the disk {}", path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file system in it cannot be made.
    #[error(transparent)]
    Format(#[from] MkfsError),
}

/// Make a new VHDX of `size` bytes at `path` with an empty ext4 in it. An existing file is an error.
///
/// [`mkfs::Options::uuid`] is also the identity of the disk: give each its own where several meet on one Windows host.
pub fn create_ext4(path: &Path, size: u64, options: &mkfs::Options) -> Result<Made, VhdxError> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|source| VhdxError::Create { path: path.to_owned(), source })?;
    let mut disk = Disk::new(file, size, options.uuid.unwrap_or([0x5c; 16]))?;
    let options = mkfs::Options { backing: Backing::Zeroed, ..options.clone() };
    let made = mkfs::format(&mut disk, size, &options)?;
    disk.finish()?;
    Ok(made)
}
