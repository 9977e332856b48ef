//! Disk formats written and read without mounting: ext4, VHD, VHDX, GPT, FAT, dm-verity.
//!
//! * [`ext4::layer`]: a layer's tar stream becomes a read-only ext4 image, in one pass
//! * [`ext4::reader`]: what is in a file system, without mounting it
//! * [`ext4::export`]: a file system, or the changes in a scratch disk, as a tar stream
//! * [`ext4::mkfs`]: an empty, writable ext4 in milliseconds, whatever its size
//! * [`verity`]: the dm-verity tree behind a read-only disk
//! * [`gpt`], [`fat`]: partitions, and the EFI system partition
//! * [`vhd`]: the footer that makes a raw image a fixed VHD; dynamic VHDs
//! * [`vhdx`]: sparse disks for every host
//! * [`image`]: a disk in any of these files
//! * [`tar`]: the archive reader behind the first
//!
//! Everything is pure bytes: no mounting, no privileges, the same on every operating system.
#![forbid(unsafe_code)]

mod bytes;
pub mod ext4;
pub mod fat;
pub mod gpt;
mod guid;
pub mod image;
mod mapped;
mod overlay;
mod seek;
pub mod tar;
pub mod verity;
pub mod vhd;
pub mod vhdx;
mod window;

pub use guid::Guid;
pub use window::Window;
