//! A file system made larger with its disk.
//!
//! The tables of the new groups go to the start of the new part. The list of groups grows in place: what bitmaps are in its
//! way move to the new part, too.
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{Backing, MAX_SIZE, Made, MkfsError};
use crate::bytes::{get, get16, get32, put32};
use crate::ext4::bitmap::{Bitmap, clip};
use crate::ext4::group::{Descriptor, flag};
use crate::ext4::layout::{
    BLOCK, BLOCK_SIZE, BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, DESCRIPTORS_PER_BLOCK, INODES_PER_BLOCK,
};
use crate::ext4::superblock::{self, compat, incompat, ro_compat};

/// Make the file system that [`super::format`] wrote to `disk` fill `size` bytes. It must not be mounted. `new_part` tells
/// what the disk holds behind the old end.
///
/// Content stays where it is. An interrupted growth is completed by calling this again with the same size. Refused: file
/// systems of other origin, those that were not unmounted, and growth by more than some 200 times since they were made.
pub fn grow<D: Read + Write + Seek>(disk: &mut D, size: u64, new_part: Backing) -> Result<Made, MkfsError> {
    let mut superblock = [0; superblock::SIZE];
    read(disk, superblock::OFFSET as u64, &mut superblock, "the superblock")?;
    let growth = Growth::plan(&superblock, size, new_part)?;
    if growth.new_blocks == growth.old_blocks {
        return Ok(growth.made(get32(&superblock, 12)));
    }
    let mut descriptors = growth.read_descriptors(disk)?;
    growth.move_bitmaps(disk, &mut descriptors)?;
    growth.open_last_group(disk, &mut descriptors)?;
    growth.add_groups(disk, &mut descriptors)?;
    let uuid = get(&superblock, 104);
    let mut table: Vec<u8> = Vec::new();
    for (number, descriptor) in (0..).zip(&descriptors) {
        table.extend(descriptor.encode_with_checksum(&uuid, number));
    }
    table.resize(growth.new_list as usize * BLOCK_SIZE, 0);
    write(disk, BLOCK, &table, "the group descriptors")?;
    disk.flush().map_err(|source| MkfsError::Write { part: "the group descriptors", source })?;
    let free_blocks = descriptors.iter().map(|group| group.free_blocks).sum();
    put32(&mut superblock, 0, growth.new_groups * growth.inodes_per_group);
    put32(&mut superblock, 4, growth.new_blocks);
    put32(&mut superblock, 12, free_blocks);
    put32(&mut superblock, 16, descriptors.iter().map(|group| group.free_inodes).sum());
    write(disk, superblock::OFFSET as u64, &superblock, "the superblock")?;
    disk.flush().map_err(|source| MkfsError::Write { part: "the superblock", source })?;
    Ok(growth.made(free_blocks))
}

/// Old and new numbers, in blocks.
struct Growth {
    old_blocks: u32,
    new_blocks: u32,
    old_groups: u32,
    new_groups: u32,
    inodes_per_group: u32,
    /// Blocks of the list of groups.
    old_list: u32,
    new_list: u32,
    new_part: Backing,
}

impl Growth {
    fn plan(superblock: &[u8; superblock::SIZE], size: u64, new_part: Backing) -> Result<Self, MkfsError> {
        check_origin(superblock)?;
        let old_blocks = get32(superblock, 4);
        if size > MAX_SIZE {
            return Err(MkfsError::TooLarge { size });
        }
        let new_blocks = (size / BLOCK) as u32;
        if new_blocks < old_blocks {
            return Err(MkfsError::Shrink { size, current: u64::from(old_blocks) * BLOCK });
        }
        let (old_groups, new_groups) =
            (old_blocks.div_ceil(BLOCKS_PER_GROUP), new_blocks.div_ceil(BLOCKS_PER_GROUP));
        let list = |groups: u32| groups.div_ceil(DESCRIPTORS_PER_BLOCK);
        let growth = Self {
            old_blocks,
            new_blocks,
            old_groups,
            new_groups,
            inodes_per_group: get32(superblock, 40),
            old_list: list(old_groups),
            new_list: list(new_groups),
            new_part,
        };
        // Little room behind the old end may not hold the tables: then there is nothing to gain.
        if new_blocks > old_blocks && growth.end() >= u64::from(new_blocks) {
            return Err(MkfsError::TooSmall { size });
        }
        Ok(growth)
    }

    /// Blocks that the list needs and others had.
    fn moved(&self) -> u32 {
        self.new_list - self.old_list
    }

    fn table_blocks(&self) -> u32 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    /// Where the tables of the new groups start: behind the bitmaps that were moved.
    fn tables(&self) -> u32 {
        self.old_blocks + self.moved()
    }

    /// The first block of the new part that is free.
    fn end(&self) -> u64 {
        let new = u64::from(self.new_groups - self.old_groups);
        u64::from(self.tables()) + new * u64::from(2 + self.table_blocks())
    }

    fn made(&self, free_blocks: u32) -> Made {
        Made { blocks: self.new_blocks, inodes: self.new_groups * self.inodes_per_group, free_blocks }
    }

    fn read_descriptors<D: Read + Seek>(&self, disk: &mut D) -> Result<Vec<Descriptor>, MkfsError> {
        let mut bytes = vec![0; self.old_groups as usize * DESCRIPTOR_SIZE];
        read(disk, BLOCK, &mut bytes, "the group descriptors")?;
        Ok(bytes.chunks_exact(DESCRIPTOR_SIZE).map(Descriptor::decode).collect())
    }

    /// Bitmaps where the list will be go to the start of the new part, each to a place of its own.
    fn move_bitmaps<D: Read + Write + Seek>(
        &self,
        disk: &mut D,
        descriptors: &mut [Descriptor],
    ) -> Result<(), MkfsError> {
        let needed = 1 + self.old_list..1 + self.new_list;
        if descriptors.iter().any(|group| needed.contains(&group.inode_table)) {
            return Err(MkfsError::Foreign { reason: "it would have to grow by too much at once" });
        }
        for group in descriptors {
            for place in [&mut group.block_bitmap, &mut group.inode_bitmap] {
                if needed.contains(place) {
                    let new = self.old_blocks + (*place - needed.start);
                    let mut block = [0; BLOCK_SIZE];
                    read(disk, u64::from(*place) * BLOCK, &mut block, "a bitmap")?;
                    write(disk, u64::from(new) * BLOCK, &block, "a bitmap")?;
                    *place = new;
                }
            }
        }
        Ok(())
    }

    /// The group that was last may have become longer.
    fn open_last_group<D: Read + Write + Seek>(
        &self,
        disk: &mut D,
        descriptors: &mut [Descriptor],
    ) -> Result<(), MkfsError> {
        let number = self.old_groups - 1;
        let (base, length) = self.span(number);
        let group = &mut descriptors[number as usize];
        if group.flags & flag::BLOCK_UNINIT != 0 {
            return Err(MkfsError::Foreign { reason: "its last group has no bitmap" });
        }
        let at = u64::from(group.block_bitmap) * BLOCK;
        let mut bytes = [0; BLOCK_SIZE];
        read(disk, at, &mut bytes, "a block bitmap")?;
        let mut bitmap = Bitmap::from_bytes(&bytes);
        bitmap.clear(self.old_blocks - base, length);
        self.mark_tables(&mut bitmap, base, length);
        group.free_blocks = bitmap.free(length);
        write(disk, at, bitmap.bytes(), "a block bitmap")
    }

    fn add_groups<D: Write + Seek>(
        &self,
        disk: &mut D,
        descriptors: &mut Vec<Descriptor>,
    ) -> Result<(), MkfsError> {
        let new = self.new_groups - self.old_groups;
        for (at, number) in (0..new).zip(self.old_groups..) {
            let (base, length) = self.span(number);
            let block_bitmap = self.tables() + at;
            let mut bitmap = Bitmap::new();
            self.mark_tables(&mut bitmap, base, length);
            bitmap.set(length, BLOCKS_PER_GROUP);
            let has_bitmap = u64::from(base) < self.end() || number + 1 == self.new_groups;
            if has_bitmap {
                write(disk, u64::from(block_bitmap) * BLOCK, bitmap.bytes(), "a block bitmap")?;
            }
            let zeroed = if self.new_part == Backing::Zeroed { flag::INODE_ZEROED } else { 0 };
            descriptors.push(Descriptor {
                block_bitmap,
                inode_bitmap: self.tables() + new + at,
                inode_table: self.tables() + 2 * new + at * self.table_blocks(),
                free_blocks: bitmap.free(length),
                free_inodes: self.inodes_per_group,
                directories: 0,
                flags: zeroed | flag::INODE_UNINIT | if has_bitmap { 0 } else { flag::BLOCK_UNINIT },
                unused_inodes: self.inodes_per_group,
            });
        }
        Ok(())
    }

    fn mark_tables(&self, bitmap: &mut Bitmap, base: u32, length: u32) {
        let used = clip(u64::from(base), length, u64::from(self.old_blocks), self.end());
        if let Some((from, to)) = used {
            bitmap.set(from, to);
        }
    }

    /// First block of a group and its number of blocks, in the new file system.
    fn span(&self, group: u32) -> (u32, u32) {
        let base = group * BLOCKS_PER_GROUP;
        (base, (self.new_blocks - base).min(BLOCKS_PER_GROUP))
    }
}

/// Only what `format` makes is understood, and only when nobody has it mounted.
fn check_origin(s: &[u8; superblock::SIZE]) -> Result<(), MkfsError> {
    const COMPAT: u32 = compat::EXT_ATTR | compat::DIR_INDEX | compat::SPARSE_SUPER2 | compat::HAS_JOURNAL;
    const INCOMPAT: u32 = incompat::FILETYPE | incompat::EXTENTS | incompat::FLEX_BG;
    let foreign = |reason| Err(MkfsError::Foreign { reason });
    if get16(s, 56) != 0xef53 {
        return foreign("there is none");
    }
    if get16(s, 58) & 3 != 1 || get32(s, 96) & incompat::RECOVER != 0 {
        return foreign("it was not unmounted properly");
    }
    let layout = get32(s, 24) == 2 && get32(s, 32) == BLOCKS_PER_GROUP;
    let features = get32(s, 92) & !COMPAT == 0 && get32(s, 96) & !INCOMPAT == 0;
    let inodes_per_group = get32(s, 40);
    let inodes = inodes_per_group != 0 && inodes_per_group.is_multiple_of(INODES_PER_BLOCK);
    if !layout || !features || !inodes || get32(s, 100) & ro_compat::GDT_CSUM == 0 {
        return foreign("it was made by something else");
    }
    // Tools that keep room for growth, or copies of the superblock, lay out their groups differently.
    if get16(s, 206) != 0 || get32(s, 588) != 0 || get32(s, 4) == 0 {
        return foreign("it was made by something else");
    }
    Ok(())
}

fn read<D: Read + Seek>(
    disk: &mut D,
    at: u64,
    bytes: &mut [u8],
    part: &'static str,
) -> Result<(), MkfsError> {
    disk.seek(SeekFrom::Start(at))
        .and_then(|_| disk.read_exact(bytes))
        .map_err(|source| MkfsError::Read { part, source })
}

fn write<D: Write + Seek>(disk: &mut D, at: u64, bytes: &[u8], part: &'static str) -> Result<(), MkfsError> {
    let write = |disk: &mut D| -> io::Result<()> {
        disk.seek(SeekFrom::Start(at))?;
        disk.write_all(bytes)
    };
    write(disk).map_err(|source| MkfsError::Write { part, source })
}
