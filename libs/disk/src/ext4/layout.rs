//! Sizes and numbers that every image of ours shares (kernel `Documentation/filesystems/ext4/globals.rst`).

/// Bytes per block. The largest the page cache takes everywhere.
pub const BLOCK_SIZE: usize = 4096;
/// The same, as a 64-bit number.
pub(super) const BLOCK: u64 = BLOCK_SIZE as u64;
/// Blocks per group: one bitmap block has that many bits.
pub(super) const BLOCKS_PER_GROUP: u32 = 32768;
/// Most inodes in a group, for the same reason.
pub(super) const MAX_INODES_PER_GROUP: u32 = 32768;
/// Bytes per inode on disk.
pub(super) const INODE_SIZE: usize = 256;
/// Bytes of it with a fixed meaning: 128 + `EXTRA_ISIZE`; what follows may hold extended attributes.
pub(super) const INODE_FIXED: usize = 160;
/// `i_extra_isize`: all fields up to the project id.
pub(super) const EXTRA_ISIZE: u16 = 32;
/// Inodes in one block of the table.
pub(super) const INODES_PER_BLOCK: u32 = (BLOCK_SIZE / INODE_SIZE) as u32;
/// Bytes of a group descriptor without the `64bit` feature.
pub(super) const DESCRIPTOR_SIZE: usize = 32;
/// Descriptors in one block.
pub(super) const DESCRIPTORS_PER_BLOCK: u32 = (BLOCK_SIZE / DESCRIPTOR_SIZE) as u32;
/// The root directory's inode.
pub(super) const ROOT_INODE: u32 = 2;
/// The journal's inode.
pub(super) const JOURNAL_INODE: u32 = 8;
/// The first inode that is not reserved.
pub(super) const FIRST_INODE: u32 = 11;
/// Most names of one inode, and the most sub-directories that are counted.
pub(super) const MAX_LINKS: u16 = 65000;
/// 512-byte sectors per block, the unit of `i_blocks`.
pub(super) const SECTORS_PER_BLOCK: u64 = BLOCK / 512;

/// Blocks that `bytes` fill.
pub(super) fn blocks_for(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK)
}
