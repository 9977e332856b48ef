//! Where the tables go, and what the bitmaps show.
use super::Options;
use crate::ext4::bitmap::{Bitmap, clip};
use crate::ext4::layout::{
    BLOCKS_PER_GROUP, DESCRIPTORS_PER_BLOCK, INODES_PER_BLOCK, MAX_INODES_PER_GROUP, blocks_for,
};

/// Blocks before the first content: the superblock and descriptors for a file system of `max_size` bytes.
pub(super) fn reserved_blocks(max_size: u64) -> u32 {
    let groups = blocks_for(max_size).div_ceil(u64::from(BLOCKS_PER_GROUP)).max(1);
    1 + groups.div_ceil(u64::from(DESCRIPTORS_PER_BLOCK)) as u32
}

/// Where the tables go.
pub(super) struct Plan {
    pub(super) groups: u32,
    pub(super) inodes_per_group: u32,
    pub(super) table: u32,
    pub(super) table_blocks: u32,
    /// Less than the usual 32768 where there are more inodes than so few blocks can have: many small files must not
    /// blow up the disk.
    pub(super) blocks_per_group: u32,
    pub(super) blocks: u32,
}

impl Plan {
    /// For `inodes` inodes behind `table` blocks.
    pub(super) fn new(table: u32, inodes: u32) -> Self {
        let mut groups = inodes.div_ceil(MAX_INODES_PER_GROUP).max(1);
        loop {
            let inodes_per_group = inodes.div_ceil(groups).next_multiple_of(INODES_PER_BLOCK);
            let table_blocks = groups * (inodes_per_group / INODES_PER_BLOCK);
            let needed = u64::from(table) + u64::from(table_blocks) + 2 * u64::from(groups);
            let fitting = needed.div_ceil(u64::from(BLOCKS_PER_GROUP)) as u32;
            if fitting <= groups {
                let blocks = needed as u32;
                // Every group but the last must be complete, and the last not empty.
                let even = blocks.div_ceil(groups).next_multiple_of(8);
                let blocks_per_group = if fitting == groups { BLOCKS_PER_GROUP } else { even };
                return Self { groups, inodes_per_group, table, table_blocks, blocks_per_group, blocks };
            }
            groups = fitting.max(groups + 1);
        }
    }

    /// Blocks that the group descriptors fill.
    pub(super) fn descriptor_blocks(&self) -> u32 {
        self.groups.div_ceil(DESCRIPTORS_PER_BLOCK)
    }
}

/// What the bitmaps show.
pub(super) struct Usage<'a> {
    pub(super) plan: &'a Plan,
    pub(super) orphans: &'a [(u32, u32)],
    pub(super) used: &'a [bool],
    pub(super) directories: &'a [u32],
    pub(super) options: &'a Options,
}

impl Usage<'_> {
    /// The block bitmap of a group and the number of free blocks.
    pub(super) fn block_bitmap(&self, group: u32) -> (Bitmap, u32) {
        let per_group = u64::from(self.plan.blocks_per_group);
        let base = u64::from(group) * per_group;
        let length = (u64::from(self.plan.blocks) - base).min(per_group) as u32;
        let mut bitmap = Bitmap::new();
        // Bits without a block count as used.
        bitmap.set(0, BLOCKS_PER_GROUP);
        for (start, end) in self.free_runs() {
            if let Some((from, to)) = clip(base, length, start, end) {
                bitmap.clear(from, to);
            }
        }
        let free = bitmap.free(length);
        (bitmap, free)
    }

    fn free_runs(&self) -> impl Iterator<Item = (u64, u64)> {
        let plan = self.plan;
        let set_aside = (1 + plan.descriptor_blocks(), reserved_blocks(self.options.max_size));
        let orphans = self.orphans.iter().map(|&(start, count)| (start, start + count));
        orphans.chain([set_aside]).map(|(start, end)| (u64::from(start), u64::from(end)))
    }

    /// The inode bitmap of a group and the number of free inodes.
    pub(super) fn inode_bitmap(&self, group: u32) -> (Bitmap, u32) {
        let count = self.plan.inodes_per_group;
        let base = (group * count) as usize;
        let mut bitmap = Bitmap::new();
        for bit in 0..count {
            if self.used.get(base + bit as usize).copied().unwrap_or_default() {
                bitmap.set(bit, bit + 1);
            }
        }
        let free = bitmap.free(count);
        bitmap.set(count, MAX_INODES_PER_GROUP);
        (bitmap, free)
    }

    pub(super) fn directories_in(&self, group: u32) -> u32 {
        let in_group = |&&inode: &&u32| (inode - 1) / self.plan.inodes_per_group == group;
        self.directories.iter().filter(in_group).count() as u32
    }
}
