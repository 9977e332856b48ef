//! Where the metadata of an empty file system goes: all of it at the start, so that most groups stay untouched.
use super::{Journal, MAX_SIZE, MIN_SIZE, MkfsError, journal};
use crate::ext4::layout::{
    BLOCK, BLOCKS_PER_GROUP, DESCRIPTORS_PER_BLOCK, INODES_PER_BLOCK, MAX_INODES_PER_GROUP,
};

/// Blocks of `lost+found`: room for what a check finds, as `mke2fs` leaves it.
pub(super) const LOST_FOUND_BLOCKS: u32 = 4;

/// Positions in blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) blocks: u32,
    pub(super) groups: u32,
    pub(super) inodes_per_group: u32,
    pub(super) block_bitmaps: u32,
    pub(super) inode_bitmaps: u32,
    pub(super) tables: u32,
    pub(super) root: u32,
    pub(super) lost_found: u32,
    pub(super) journal: u32,
    pub(super) journal_blocks: u32,
    /// The first free block.
    pub(super) end: u32,
}

impl Plan {
    pub(super) fn new(size: u64, bytes_per_inode: u64, journal: Journal) -> Result<Self, MkfsError> {
        if size < MIN_SIZE {
            return Err(MkfsError::TooSmall { size });
        }
        if size > MAX_SIZE {
            return Err(MkfsError::TooLarge { size });
        }
        let blocks = (size / BLOCK) as u32;
        let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
        let wanted = (size / bytes_per_inode.max(BLOCK)).div_ceil(u64::from(groups)) as u32;
        let inodes_per_group = wanted.next_multiple_of(INODES_PER_BLOCK).min(MAX_INODES_PER_GROUP);
        let block_bitmaps = 1 + groups.div_ceil(DESCRIPTORS_PER_BLOCK);
        let inode_bitmaps = block_bitmaps + groups;
        let tables = inode_bitmaps + groups;
        let root = tables + groups * (inodes_per_group / INODES_PER_BLOCK);
        let lost_found = root + 1;
        let journal_blocks = journal::blocks(journal, blocks);
        let journal = lost_found + LOST_FOUND_BLOCKS;
        let end = journal + journal_blocks;
        if end >= blocks {
            return Err(MkfsError::TooSmall { size });
        }
        Ok(Self {
            blocks,
            groups,
            inodes_per_group,
            block_bitmaps,
            inode_bitmaps,
            tables,
            root,
            lost_found,
            journal,
            journal_blocks,
            end,
        })
    }

    /// First block of a group and its number of blocks.
    pub(super) fn span(&self, group: u32) -> (u32, u32) {
        let base = group * BLOCKS_PER_GROUP;
        (base, (self.blocks - base).min(BLOCKS_PER_GROUP))
    }

    /// Whether the group's bitmap must exist: it holds metadata, or is last and perhaps not complete.
    pub(super) fn has_bitmap(&self, group: u32) -> bool {
        self.span(group).0 < self.end || group + 1 == self.groups
    }

    pub(super) fn table_of(&self, group: u32) -> u32 {
        self.tables + group * (self.inodes_per_group / INODES_PER_BLOCK)
    }
}
