//! Extent trees, read as one list.
use std::io::{Read, Seek};

use super::blocks::Blocks;
use super::error::{ReadError, corrupt};
use super::inode::{self, Inode};
use crate::bytes::{get16, get32};

const MAGIC: u16 = 0xf30a;
const ENTRY: usize = 12;
const MAX_DEPTH: u16 = 5;
/// Longer extents are allocated but not written: they read as zeros.
const MAX_WRITTEN: u16 = 32768;

/// A run of blocks that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First block in the file.
    pub(super) logical: u64,
    /// First block on the disk.
    pub(super) physical: u64,
    /// Blocks.
    pub(super) length: u64,
}

impl Run {
    pub(super) fn end(&self) -> u64 {
        self.logical + self.length
    }
}

/// All runs of a file, ascending.
pub(super) fn all<D: Read + Seek>(blocks: &mut Blocks<D>, inode: &Inode) -> Result<Vec<Run>, ReadError> {
    if inode.has(inode::ENCRYPTED) {
        return Err(ReadError::Unsupported { what: "encryption".into() });
    }
    if !inode.has(inode::EXTENTS) {
        // No blocks at all need no map.
        if inode.body() == [0; 60] {
            return Ok(Vec::new());
        }
        return Err(ReadError::Unsupported { what: "block maps of ext2 and ext3".into() });
    }
    let mut walk = Walk { blocks, inode: inode.number, runs: Vec::new(), next: 0 };
    walk.node(&inode.body(), None)?;
    Ok(walk.runs)
}

struct Walk<'a, D> {
    blocks: &'a mut Blocks<D>,
    inode: u32,
    runs: Vec<Run>,
    /// The first block of the file that may come next. As every node only goes forwards, no block of the tree can count
    /// twice, and the work is bounded by the disk.
    next: u64,
}

impl<D: Read + Seek> Walk<'_, D> {
    fn node(&mut self, node: &[u8], expected_depth: Option<u16>) -> Result<(), ReadError> {
        let fault = |reason| corrupt("extent tree of inode", self.inode, reason);
        let (entries, depth) = (usize::from(get16(node, 2)), get16(node, 6));
        if get16(node, 0) != MAGIC || entries * ENTRY + ENTRY > node.len() || depth > MAX_DEPTH {
            return Err(fault("a node is none"));
        }
        if expected_depth.is_some_and(|expected| expected != depth) {
            return Err(fault("a node has the wrong depth"));
        }
        if entries == 0 && expected_depth.is_some() {
            return Err(fault("an empty node"));
        }
        for entry in node[ENTRY..].chunks_exact(ENTRY).take(entries) {
            if depth == 0 {
                self.leaf(entry)?;
            } else {
                self.index(entry, depth)?;
            }
        }
        Ok(())
    }

    fn index(&mut self, entry: &[u8], depth: u16) -> Result<(), ReadError> {
        if u64::from(get32(entry, 0)) < self.next {
            return Err(corrupt("extent tree of inode", self.inode, "goes backwards"));
        }
        let block = u64::from(get32(entry, 4)) | u64::from(get16(entry, 8)) << 32;
        let child = self.blocks.block(block)?.to_vec();
        self.node(&child, Some(depth - 1))
    }

    fn leaf(&mut self, entry: &[u8]) -> Result<(), ReadError> {
        let fault = |reason| corrupt("extent tree of inode", self.inode, reason);
        let logical = u64::from(get32(entry, 0));
        let length = get16(entry, 4);
        let written = length <= MAX_WRITTEN;
        let length = u64::from(if written { length } else { length - MAX_WRITTEN });
        let physical = u64::from(get32(entry, 8)) | u64::from(get16(entry, 6)) << 32;
        if logical < self.next || length == 0 {
            return Err(fault("goes backwards"));
        }
        if physical == 0 || physical + length > self.blocks.geometry.blocks {
            return Err(fault("leads outside the disk"));
        }
        self.next = logical + length;
        if written {
            self.runs.push(Run { logical, physical, length });
        }
        Ok(())
    }
}
