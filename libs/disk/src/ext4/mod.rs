//! The ext4 file system (kernel `Documentation/filesystems/ext4`), as far as it is written here.
mod bitmap;
mod dir;
mod extent;
mod group;
mod inode;
pub mod layer;
mod layout;
pub mod mkfs;
mod superblock;
mod xattr;

pub use layout::BLOCK_SIZE;
