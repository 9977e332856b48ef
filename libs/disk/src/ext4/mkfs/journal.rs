//! An empty journal (kernel `Documentation/filesystems/ext4/journal.rst`).
use super::Journal;
use crate::bytes::put;
use crate::ext4::layout::{BLOCK, BLOCK_SIZE};

/// Least blocks of a journal.
const MIN_BLOCKS: u32 = 1024;
/// Most that one inode's root maps here: 256 MiB.
const MAX_BLOCKS: u32 = 65536;

/// Blocks of the journal of a file system with `blocks` blocks.
pub(super) fn blocks(journal: Journal, blocks: u32) -> u32 {
    match journal {
        Journal::None => 0,
        // A 64th, as large as others make it for small disks, and no more than 128 MiB.
        Journal::Default => (blocks / 64).clamp(MIN_BLOCKS, MAX_BLOCKS / 2),
        Journal::Bytes(bytes) => {
            u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX).clamp(MIN_BLOCKS, MAX_BLOCKS)
        }
    }
}

/// Its first block: nothing to be replayed.
pub(super) fn superblock(blocks: u32, uuid: [u8; 16]) -> [u8; BLOCK_SIZE] {
    const MAGIC: u32 = 0xc03b_3998;
    const SUPERBLOCK_V2: u32 = 4;
    let mut block = [0; BLOCK_SIZE];
    let words =
        [(0, MAGIC), (4, SUPERBLOCK_V2), (12, BLOCK_SIZE as u32), (16, blocks), (20, 1), (24, 1), (64, 1)];
    for (at, word) in words {
        put(&mut block, at, word.to_be_bytes());
    }
    put(&mut block, 48, uuid);
    block
}
