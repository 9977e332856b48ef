//! The journal of a file system that was not unmounted (kernel `Documentation/filesystems/ext4/journal.rst`).
//!
//! Nothing is written: the newest copy of every block that a complete transaction holds is looked up where it stands. As
//! commit blocks are written behind a barrier, a transaction that has one is complete.
use std::collections::HashMap;
use std::io::{Read, Seek};

use super::blocks::{Blocks, Update};
use super::error::{ReadError, corrupt};
use super::extents::Run;

pub(super) const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

const BITS_64: u32 = 0x2;
const CHECKSUM_2: u32 = 0x8;
const CHECKSUM_3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;

const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;

/// How the journal is written.
struct Format {
    bits_64: bool,
    checksums: bool,
    tag_size: usize,
    tag_3: bool,
}

/// A copy of a block in a transaction.
struct Copy {
    sequence: u32,
    target: u64,
    update: Update,
}

struct Replay<'a, D> {
    blocks: &'a mut Blocks<D>,
    runs: &'a [Run],
    format: Format,
    first: u64,
    length: u64,
    copies: Vec<Copy>,
    /// The last transaction that took a block back.
    revoked: HashMap<u64, u32>,
}

/// Where the newest copies are, by the number of the block they belong to. `runs` are those of the journal's inode.
pub(super) fn replay<D: Read + Seek>(
    blocks: &mut Blocks<D>,
    runs: &[Run],
) -> Result<HashMap<u64, Update>, ReadError> {
    let at = physical(runs, 0)?;
    let head = blocks.block(at)?;
    let (length, first, sequence, start) = (be32(head, 16), be32(head, 20), be32(head, 24), be32(head, 28));
    let version_2 = be32(head, 4) == 4;
    if be32(head, 0) != MAGIC || !(version_2 || be32(head, 4) == 3) || be32(head, 12) as usize != head.len() {
        return Err(corrupt("journal block", at, "is not a journal's superblock"));
    }
    let features = if version_2 { be32(head, 40) } else { 0 };
    if features & FAST_COMMIT != 0 {
        return Err(ReadError::Unsupported { what: "fast commits in a journal that is not empty".into() });
    }
    if start == 0 {
        return Ok(HashMap::new());
    }
    let format = Format::new(features);
    let (first, length) = (u64::from(first), u64::from(length));
    if first == 0 || first >= length || u64::from(start) >= length {
        return Err(corrupt("journal block", at, "has impossible bounds"));
    }
    let mut replay =
        Replay { blocks, runs, format, first, length, copies: Vec::new(), revoked: HashMap::new() };
    replay.walk(u64::from(start), sequence)?;
    Ok(replay.newest())
}

impl Format {
    fn new(features: u32) -> Self {
        let (bits_64, tag_3) = (features & BITS_64 != 0, features & CHECKSUM_3 != 0);
        let checksums = tag_3 || features & CHECKSUM_2 != 0;
        let tag_size = match (tag_3, features & CHECKSUM_2 != 0, bits_64) {
            (true, ..) => 16,
            (_, true, true) => 14,
            (_, true, false) => 10,
            (_, _, true) => 12,
            _ => 8,
        };
        Self { bits_64, checksums, tag_size, tag_3 }
    }

    /// Target block and flags.
    fn tag(&self, tag: &[u8]) -> (u64, u32) {
        let flags = if self.tag_3 { be32(tag, 4) } else { u32::from(u16::from_be_bytes([tag[6], tag[7]])) };
        let high = if self.bits_64 { u64::from(be32(tag, 8)) << 32 } else { 0 };
        (high | u64::from(be32(tag, 0)), flags)
    }
}

impl<D: Read + Seek> Replay<'_, D> {
    /// Go through complete transactions, each block once at most.
    fn walk(&mut self, start: u64, mut sequence: u32) -> Result<(), ReadError> {
        let mut at = start;
        let (mut copies, mut revoked) = (Vec::new(), Vec::new());
        let mut left = self.length;
        while left > 0 {
            left -= 1;
            let block = self.journal_block(at)?;
            if be32(&block, 0) != MAGIC || be32(&block, 8) != sequence {
                break;
            }
            at = self.after(at);
            match be32(&block, 4) {
                DESCRIPTOR => {
                    for (target, escaped) in self.tags(&block) {
                        if left == 0 {
                            return Ok(());
                        }
                        left -= 1;
                        let update = Update { block: physical(self.runs, at)?, escaped };
                        copies.push(Copy { sequence, target, update });
                        at = self.after(at);
                    }
                }
                REVOKE => revoked.extend(self.revocations(&block).into_iter().map(|block| (block, sequence))),
                COMMIT => {
                    self.copies.append(&mut copies);
                    self.revoked.extend(revoked.drain(..));
                    sequence = sequence.wrapping_add(1);
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn newest(self) -> HashMap<u64, Update> {
        let is_valid = |copy: &Copy| {
            let revoked = self.revoked.get(&copy.target);
            // Numbers of transactions wrap around.
            revoked.is_none_or(|&revoked| copy.sequence.wrapping_sub(revoked).cast_signed() > 0)
        };
        self.copies.iter().filter(|copy| is_valid(copy)).map(|copy| (copy.target, copy.update)).collect()
    }

    fn after(&self, at: u64) -> u64 {
        if at + 1 >= self.length { self.first } else { at + 1 }
    }

    fn journal_block(&mut self, at: u64) -> Result<Vec<u8>, ReadError> {
        let block = physical(self.runs, at)?;
        self.blocks.block(block).map(<[u8]>::to_vec)
    }

    /// Targets of the blocks that follow a descriptor, and whether they are escaped.
    fn tags(&self, block: &[u8]) -> Vec<(u64, bool)> {
        let end = block.len() - if self.format.checksums { 4 } else { 0 };
        let mut tags = Vec::new();
        let mut at = 12;
        while at + self.format.tag_size <= end {
            // The next field of a tag without high bits may be missing at the end of the block.
            let mut tag = [0; 16];
            tag[..self.format.tag_size].copy_from_slice(&block[at..at + self.format.tag_size]);
            let (target, flags) = self.format.tag(&tag);
            tags.push((target, flags & ESCAPED != 0));
            if flags & LAST != 0 {
                break;
            }
            at += self.format.tag_size + if flags & SAME_UUID == 0 { 16 } else { 0 };
        }
        tags
    }

    fn revocations(&self, block: &[u8]) -> Vec<u64> {
        let end = (be32(block, 12) as usize).clamp(16, block.len());
        let width = if self.format.bits_64 { 8 } else { 4 };
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        block[16..end].chunks_exact(width).map(number).collect()
    }
}

/// Where a block of the journal is on the disk.
fn physical(runs: &[Run], logical: u64) -> Result<u64, ReadError> {
    let run = runs.iter().find(|run| (run.logical..run.end()).contains(&logical));
    run.map(|run| run.physical + (logical - run.logical))
        .ok_or_else(|| corrupt("journal block", logical, "is missing"))
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(crate::bytes::get(bytes, at))
}
