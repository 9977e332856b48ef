use std::io::{self, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use super::plan::{LOST_FOUND_BLOCKS, Plan};
use super::{Backing, Made, MkfsError, Options, journal};
use crate::ext4::bitmap::{Bitmap, clip};
use crate::ext4::dir::{self, Block, Name};
use crate::ext4::extent;
use crate::ext4::group::{Descriptor, flag as group_flag};
use crate::ext4::inode::{self, Attributes, Content, flag, mode};
use crate::ext4::layout::{
    BLOCK, BLOCK_SIZE, BLOCKS_PER_GROUP, FIRST_INODE, INODE_SIZE, JOURNAL_INODE, MAX_INODES_PER_GROUP,
    ROOT_INODE, SECTORS_PER_BLOCK,
};
use crate::ext4::superblock::{self, Superblock, compat, incompat, ro_compat};

/// Where other file systems keep their signatures: btrfs, the last one, at 64 KiB.
const SIGNATURES: usize = 128 * 1024;

/// Make an empty file system in the first `size` bytes of `disk`. Nothing is read; the superblock is written last, so
/// that a disk whose formatting failed does not look like a file system.
pub fn format<W: Write + Seek>(disk: &mut W, size: u64, options: &Options) -> Result<Made, MkfsError> {
    let plan = Plan::new(size, options.bytes_per_inode, options.journal)?;
    if options.backing == Backing::Unknown {
        write_at(disk, 0, &vec![0; SIGNATURES], "the start")?;
    }
    let uuid = options.uuid.unwrap_or_else(|| uuid_for(size));
    let (descriptors, free_blocks) = write_groups(disk, &plan, options.backing, &uuid)?;
    write_journal(disk, &plan, options.backing, uuid)?;
    write_inodes(disk, &plan)?;
    write_at(disk, 1, &descriptors, "the group descriptors")?;
    let superblock = superblock(&plan, options, uuid, free_blocks);
    let mut block = [0; BLOCK_SIZE];
    block[superblock::OFFSET..superblock::OFFSET + superblock::SIZE].copy_from_slice(&superblock.encode());
    write_at(disk, 0, &block, "the superblock")?;
    disk.flush().map_err(|source| MkfsError::Write { part: "the end", source })?;
    Ok(Made { blocks: plan.blocks, inodes: superblock.inodes, free_blocks })
}

fn superblock(plan: &Plan, options: &Options, uuid: [u8; 16], free_blocks: u32) -> Superblock {
    let inodes = plan.groups * plan.inodes_per_group;
    let mut label = [0; 16];
    let length = options.label.len().min(label.len());
    label[..length].copy_from_slice(&options.label.as_bytes()[..length]);
    Superblock {
        blocks: plan.blocks,
        free_blocks,
        inodes,
        blocks_per_group: BLOCKS_PER_GROUP,
        inodes_per_group: plan.inodes_per_group,
        free_inodes: inodes - FIRST_INODE,
        compat: compat::EXT_ATTR
            | compat::DIR_INDEX
            | compat::SPARSE_SUPER2
            | if plan.journal_blocks > 0 { compat::HAS_JOURNAL } else { 0 },
        incompat: incompat::FILETYPE | incompat::EXTENTS | incompat::FLEX_BG,
        ro_compat: ro_compat::LARGE_FILE
            | ro_compat::HUGE_FILE
            | ro_compat::GDT_CSUM
            | ro_compat::DIR_NLINK
            | ro_compat::EXTRA_ISIZE,
        uuid,
        hash_seed: uuid,
        label,
        // 16 groups share a pool of inodes, the usual choice: it steers the guest's allocator.
        log_groups_per_flex: 4,
        written_kib: 0,
        journal: if plan.journal_blocks > 0 { JOURNAL_INODE } else { 0 },
    }
}

/// Bitmaps where they must exist, and all descriptors. Gives the descriptors and the number of free blocks.
fn write_groups<W: Write + Seek>(
    disk: &mut W,
    plan: &Plan,
    backing: Backing,
    uuid: &[u8; 16],
) -> Result<(Vec<u8>, u32), MkfsError> {
    let mut inodes = Bitmap::new();
    inodes.set(0, FIRST_INODE);
    inodes.set(plan.inodes_per_group, MAX_INODES_PER_GROUP);
    write_at(disk, plan.inode_bitmaps, inodes.bytes(), "the inode bitmap")?;
    let mut descriptors = Vec::new();
    let mut total = 0;
    for group in 0..plan.groups {
        let mut descriptor = empty_group(plan, group, backing);
        if plan.has_bitmap(group) {
            let bitmap = block_bitmap(plan, group);
            write_at(disk, plan.block_bitmaps + group, bitmap.bytes(), "a block bitmap")?;
            descriptor.free_blocks = bitmap.free(plan.span(group).1);
        }
        total += descriptor.free_blocks;
        descriptors.extend(descriptor.encode_with_checksum(uuid, group));
    }
    // The rest of the last descriptor block counts for nothing, but must be zero for tools that look at it.
    descriptors.resize(descriptors.len().next_multiple_of(BLOCK_SIZE), 0);
    Ok((descriptors, total))
}

fn empty_group(plan: &Plan, group: u32, backing: Backing) -> Descriptor {
    let used = if group == 0 { FIRST_INODE } else { 0 };
    let zeroed = if backing == Backing::Zeroed { group_flag::INODE_ZEROED } else { 0 };
    let no_inodes = if group == 0 { 0 } else { group_flag::INODE_UNINIT };
    let no_blocks = if plan.has_bitmap(group) { 0 } else { group_flag::BLOCK_UNINIT };
    Descriptor {
        block_bitmap: plan.block_bitmaps + group,
        inode_bitmap: plan.inode_bitmaps + group,
        inode_table: plan.table_of(group),
        free_blocks: plan.span(group).1,
        free_inodes: plan.inodes_per_group - used,
        directories: if group == 0 { 2 } else { 0 },
        flags: zeroed | no_inodes | no_blocks,
        unused_inodes: plan.inodes_per_group - used,
    }
}

fn block_bitmap(plan: &Plan, group: u32) -> Bitmap {
    let (base, length) = plan.span(group);
    let mut bitmap = Bitmap::new();
    if let Some((from, to)) = clip(u64::from(base), length, 0, u64::from(plan.end)) {
        bitmap.set(from, to);
    }
    bitmap.set(length, BLOCKS_PER_GROUP);
    bitmap
}

/// The first block of the journal; the others must not look like transactions.
fn write_journal<W: Write + Seek>(
    disk: &mut W,
    plan: &Plan,
    backing: Backing,
    uuid: [u8; 16],
) -> Result<(), MkfsError> {
    if plan.journal_blocks == 0 {
        return Ok(());
    }
    if backing == Backing::Unknown {
        for block in 1..plan.journal_blocks {
            write_at(disk, plan.journal + block, &[0; BLOCK_SIZE], "the journal")?;
        }
    }
    write_at(disk, plan.journal, &journal::superblock(plan.journal_blocks, uuid), "the journal")
}

/// The block of the inode table with the root, `lost+found` and the journal, and the two directories.
fn write_inodes<W: Write + Seek>(disk: &mut W, plan: &Plan) -> Result<(), MkfsError> {
    let mut table = [0; BLOCK_SIZE];
    let mut place = |number: u32, mode: u16, links: u16, first: u32, blocks: u32| {
        let attributes = Attributes { mode, ..Attributes::default() };
        let content = Content {
            size: u64::from(blocks) * BLOCK,
            links,
            sectors: u64::from(blocks) * SECTORS_PER_BLOCK,
            flags: flag::EXTENTS,
            body: extent::single(first, blocks),
            xattr_block: 0,
        };
        let fixed = inode::encode(&attributes, &content);
        let at = (number as usize - 1) * INODE_SIZE;
        table[at..at + fixed.len()].copy_from_slice(&fixed);
    };
    place(ROOT_INODE, mode::DIRECTORY | 0o755, 3, plan.root, 1);
    place(FIRST_INODE, mode::DIRECTORY | 0o700, 2, plan.lost_found, LOST_FOUND_BLOCKS);
    if plan.journal_blocks > 0 {
        place(JOURNAL_INODE, mode::FILE | 0o600, 1, plan.journal, plan.journal_blocks);
    }
    write_at(disk, plan.tables, &table, "the inode table")?;
    let lost_found = Name { inode: FIRST_INODE, mode: mode::DIRECTORY, text: b"lost+found" };
    let mut blocks = Vec::new();
    dir::linear(ROOT_INODE, ROOT_INODE, [lost_found].into_iter(), |block| blocks.extend_from_slice(block));
    dir::linear(FIRST_INODE, ROOT_INODE, std::iter::empty(), |block| blocks.extend_from_slice(block));
    for _ in 1..LOST_FOUND_BLOCKS {
        blocks.extend_from_slice(&Block::new().finish());
    }
    write_at(disk, plan.root, &blocks, "the directories")
}

fn uuid_for(size: u64) -> [u8; 16] {
    let digest: [u8; 32] =
        Sha256::new().chain_update(b"lcow scratch").chain_update(size.to_le_bytes()).finalize().into();
    crate::ext4::uuid_from(&digest)
}

fn write_at<W: Write + Seek>(
    disk: &mut W,
    block: u32,
    bytes: &[u8],
    part: &'static str,
) -> Result<(), MkfsError> {
    let write = |disk: &mut W| -> io::Result<()> {
        disk.seek(SeekFrom::Start(u64::from(block) * BLOCK))?;
        disk.write_all(bytes)
    };
    write(disk).map_err(|source| MkfsError::Write { part, source })
}
