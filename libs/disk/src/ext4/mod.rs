//! The ext4 file system (kernel `Documentation/filesystems/ext4`), as far as it is written and read here.
#![allow(
    clippy::cast_possible_truncation,
    reason = "fields have the width of the disk format; sizes are checked at the door"
)]
mod bitmap;
mod dir;
mod extent;
mod group;
mod inode;
pub mod layer;
mod layout;
pub mod mkfs;
pub mod reader;
mod superblock;
mod xattr;

pub use layout::BLOCK_SIZE;

/// The first half of a digest with the marks of a custom UUID (RFC 9562, version 8).
fn uuid_from(digest: &[u8; 32]) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}
