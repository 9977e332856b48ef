//! An empty, writable ext4 made in milliseconds, whatever the size of the disk.
//!
//! Only what differs from zero, or must not be left to chance, is written: superblock, descriptors, the bitmaps of the
//! groups that hold metadata, one block of inodes, two directories. Everything else is marked as not initialised
//! (feature `gdt_csum`), as `mke2fs -E lazy_itable_init` does. There is no journal unless one is asked for: a scratch disk
//! lives as long as its container. [`grow`] follows a disk that became larger.
//!
//! ```
//! use std::io::Cursor;
//! use lcow_disk::ext4::mkfs::{Backing, Options, format};
//! let mut disk = Cursor::new(Vec::new());
//! let made = format(&mut disk, 64 << 20, &Options { backing: Backing::Zeroed, ..Options::default() }).unwrap();
//! assert_eq!(made.blocks, 16384);
//! ```
mod grow;
mod journal;
mod plan;
mod write;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use grow::grow;
pub use write::format;

/// What is on the disk before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backing {
    /// Anything. Old file system signatures at the start are wiped, and the guest zeroes the inode tables in the
    /// background after mounting.
    #[default]
    Unknown,
    /// Zeros, as in a new sparse file: nothing more has to be written, ever.
    Zeroed,
}

/// How the file system is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is on the disk before.
    pub backing: Backing,
    /// UUID; `None` derives one from the size, so that equal calls give equal bytes.
    pub uuid: Option<[u8; 16]>,
    /// Volume name, cut off after 16 bytes.
    pub label: String,
    /// One inode for this many bytes.
    pub bytes_per_inode: u64,
    /// The journal.
    pub journal: Journal,
}

/// Whether changes of metadata survive a machine that stops at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Journal {
    /// They need not.
    #[default]
    None,
    /// By a journal of a 64th of the disk, 4 to 128 MiB.
    Default,
    /// By a journal of this many bytes, 4 to 256 MiB.
    Bytes(u64),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backing: Backing::default(),
            uuid: None,
            label: String::new(),
            bytes_per_inode: 16 * 1024,
            journal: Journal::default(),
        }
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Blocks of 4096 bytes.
    pub blocks: u32,
    /// All inodes.
    pub inodes: u32,
    /// Blocks free for content.
    pub free_blocks: u32,
}

/// Why a disk cannot be formatted.
#[derive(Debug, thiserror::Error)]
pub enum MkfsError {
    /// Too small to hold the tables and a directory.
    #[error("{size} bytes are too few for a file system: at least {MIN_SIZE} are needed")]
    TooSmall {
        /// Size of the disk.
        size: u64,
    },
    /// Beyond 32-bit block numbers.
    #[error("{size} bytes are too many for a file system of this kind: at most {MAX_SIZE}")]
    TooLarge {
        /// Size of the disk.
        size: u64,
    },
    /// The disk cannot be read.
    #[error("reading {part} of the file system")]
    Read {
        /// What was being read.
        part: &'static str,
        /// The failure of the disk.
        #[source]
        source: io::Error,
    },
    /// A file system that cannot be made larger.
    #[error("cannot make the file system larger: {reason}")]
    Foreign {
        /// Why not.
        reason: &'static str,
    },
    /// File systems only grow.
    #[error("the file system has {current} bytes and cannot shrink to {size}")]
    Shrink {
        /// Size that was asked for.
        size: u64,
        /// Size it has.
        current: u64,
    },
    /// The disk cannot be written.
    #[error("writing {part} of the file system")]
    Write {
        /// What was being written.
        part: &'static str,
        /// The failure of the disk.
        #[source]
        source: io::Error,
    },
    /// The file for the disk cannot be made.
    #[error("creating the disk {}", path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Smallest disk that is accepted, in bytes.
pub const MIN_SIZE: u64 = 1 << 20;
/// Largest disk that is accepted, in bytes: 16 TiB less one block.
pub const MAX_SIZE: u64 = (1 << 44) - 4096;

/// Make a new raw disk at `path`, sparse where the host's file system allows it. An existing file is an error, so that no
/// container loses its data.
pub fn create(path: &Path, size: u64, options: &Options) -> Result<Made, MkfsError> {
    let fault = |source| MkfsError::Create { path: path.to_owned(), source };
    let mut file = File::options().write(true).create_new(true).open(path).map_err(fault)?;
    file.set_len(size).map_err(fault)?;
    let options = Options { backing: Backing::Zeroed, ..options.clone() };
    format(&mut file, size, &options)
}
