//! GUID partition tables (UEFI specification 2.10, chapter 5).
//!
//! Sectors have 512 bytes, partitions start at multiples of 1 MiB, and all identifiers are derived from what is
//! partitioned, so that equal contents give equal disks.
//!
//! ```
//! use std::io::Cursor;
//! use lcow_disk::gpt::{self, Table, Wanted};
//! let table = Table::plan(&[Wanted { kind: gpt::LINUX_DATA, name: "layer 0", bytes: 5 << 20, identity: b"sha256:.." }])?;
//! let mut disk = Cursor::new(Vec::new());
//! table.write(&mut disk)?;
//! // Each partition is a disk of its own: write to `partition.window(&mut disk)`.
//! assert_eq!(Table::read(&mut disk)?, table);
//! # Ok::<(), gpt::GptError>(())
//! ```
#![allow(clippy::cast_possible_truncation, reason = "fields have the width of the disk format")]
mod header;
mod table;

use std::io;

use crate::Guid;
use crate::Window;

pub use table::{Table, Wanted};

/// Bytes per sector.
pub const SECTOR: u64 = 512;
/// Partitions start at multiples of this many bytes.
pub const ALIGNMENT: u64 = 1 << 20;

/// An EFI system partition: FAT with boot loaders (see [`crate::fat`]).
pub const EFI_SYSTEM: Guid = Guid::new(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b);
/// Any Linux file system.
pub const LINUX_DATA: Guid = Guid::new(0x0fc6_3daf, 0x8483, 0x4772, 0x8e79_3d69_d847_7de4);
/// The root file system of an x86-64 machine (UAPI group, "Discoverable Partitions Specification").
pub const LINUX_ROOT_X86_64: Guid = Guid::new(0x4f68_bce3, 0xe8cd, 0x4db1, 0x96e7_fbca_f984_b709);

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Which one it is.
    pub id: Guid,
    /// First sector.
    pub first: u64,
    /// Last sector, which belongs to it.
    pub last: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Name, at most 36 UTF-16 units.
    pub name: String,
}

impl Partition {
    /// First byte on the disk.
    pub fn offset(&self) -> u64 {
        self.first * SECTOR
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        (self.last - self.first + 1) * SECTOR
    }

    /// The partition as a disk of its own.
    pub fn window<F>(&self, disk: F) -> Window<F> {
        Window::new(disk, self.offset(), self.bytes())
    }
}

/// Why a table cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The disk has no such table, or both copies are damaged.
    #[error("no GUID partition table: {reason}")]
    Missing {
        /// What is wrong with the first copy.
        reason: &'static str,
    },
    /// A partition cannot be.
    #[error("partition {number}: {reason}")]
    Partition {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than can be counted.
    #[error("{count} partitions are too many: at most {MAX_PARTITIONS}")]
    TooMany {
        /// How many were asked for.
        count: usize,
    },
    /// The disk failed.
    #[error("{action} the partition table")]
    Io {
        /// Reading or writing.
        action: &'static str,
        /// How it failed.
        #[source]
        source: io::Error,
    },
}

/// Most partitions of a disk: more than Linux gives device numbers for.
pub const MAX_PARTITIONS: usize = 1024;
