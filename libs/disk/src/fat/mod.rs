//! A FAT32 file system with given files, for EFI system partitions ("Microsoft Extensible Firmware Initiative FAT32 File
//! System Specification", version 1.03).
//!
//! Written once and never changed: every file is in one piece, times are 1980-01-01, and the serial number is derived
//! from the content, so that equal files give equal bytes.
//!
//! ```
//! use std::io::Cursor;
//! use lcow_disk::fat::{self, File};
//! let mut disk = Cursor::new(Vec::new());
//! let files = [File { path: "EFI/BOOT/bootx64.efi", data: b"MZ..." }];
//! let size = fat::smallest(&files)?;
//! fat::write(&mut disk, size, "LCOW", &files)?;
//! # Ok::<(), fat::FatError>(())
//! ```
#![allow(clippy::cast_possible_truncation, reason = "fields have the width of the disk format")]
mod directory;
mod geometry;
mod names;
mod tree;
mod write;

use std::io;

use geometry::Geometry;
use tree::Tree;

pub use write::write;

const SECTOR: u64 = 512;

/// A file and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Names separated by `/`; directories are made as needed.
    pub path: &'a str,
    /// Its bytes.
    pub data: &'a [u8],
}

/// Why a file system cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The files need more room, or FAT32 does.
    #[error(
        "{size} bytes are too few for a FAT32 file system with these files: at least {needed} are needed"
    )]
    TooSmall {
        /// Size that was given.
        size: u64,
        /// Smallest size.
        needed: u64,
    },
    /// Larger than 32-bit sector numbers allow (2 TiB), or not a multiple of 512.
    #[error("a FAT32 file system cannot have {size} bytes")]
    Size {
        /// Size that was given.
        size: u64,
    },
    /// A name cannot be stored.
    #[error("{path:?}: {reason}")]
    Name {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The disk cannot be written.
    #[error("writing {part} of the FAT file system")]
    Write {
        /// What was being written.
        part: &'static str,
        /// How it failed.
        #[source]
        source: io::Error,
    },
}

/// Size in bytes of the smallest file system for `files`, in whole MiB: FAT32 begins at 65525 clusters, about 33 MiB.
pub fn smallest(files: &[File<'_>]) -> Result<u64, FatError> {
    let tree = Tree::new(files)?;
    let mut size = geometry::SMALLEST.next_multiple_of(1 << 20);
    loop {
        match Geometry::new(size).filter(|geometry| geometry.holds(&tree)) {
            Some(_) => return Ok(size),
            None if size >= 1 << 41 => return Err(FatError::Size { size }),
            // What does not fit now misses at least the difference; rounding may need a second step.
            None => size = (size + (1 << 20)).max(tree.bytes_with_clusters_of(1).next_multiple_of(1 << 20)),
        }
    }
}
