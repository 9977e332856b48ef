//! Extent trees (kernel `Documentation/filesystems/ext4/ifork.rst`, "Extent Tree").
use super::layout::BLOCK_SIZE;
use crate::bytes::{put16, put32};

/// Longest initialised extent, in blocks.
const MAX_LENGTH: u32 = 32768;
/// Entries in `i_block` and in a block of the tree.
const ROOT_ENTRIES: usize = 4;
const NODE_ENTRIES: usize = (BLOCK_SIZE - ENTRY) / ENTRY;
const ENTRY: usize = 12;
const MAGIC: u16 = 0xf30a;

/// A run of blocks of a file that are neighbours on the disk too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// First block within the file.
    pub(super) logical: u32,
    /// First block on the disk.
    pub(super) physical: u32,
    /// Number of blocks; any number here, split when written.
    pub(super) length: u32,
}

/// A finished tree.
#[derive(Debug)]
pub(super) struct Tree {
    /// Root, for the inode.
    pub(super) body: [u8; 60],
    /// The other nodes, in the order of the blocks they were promised.
    pub(super) blocks: Vec<[u8; BLOCK_SIZE]>,
}

/// Build the tree for `extents` (ascending); its blocks will be written from block `next` on.
pub(super) fn build(extents: &[Extent], next: u32) -> Tree {
    let mut level: Vec<Entry> = extents.iter().flat_map(|&extent| split(extent)).map(Entry::leaf).collect();
    let mut blocks = Vec::new();
    let mut depth = 0;
    while level.len() > ROOT_ENTRIES {
        let mut parents = Vec::with_capacity(level.len().div_ceil(NODE_ENTRIES));
        for children in level.chunks(NODE_ENTRIES) {
            parents.push(Entry::index(children[0].logical, next + blocks.len() as u32));
            let mut block = [0; BLOCK_SIZE];
            write_node(&mut block, children, NODE_ENTRIES, depth);
            blocks.push(block);
        }
        level = parents;
        depth += 1;
    }
    let mut body = [0; 60];
    write_node(&mut body, &level, ROOT_ENTRIES, depth);
    Tree { body, blocks }
}

/// One run of blocks in a tree without other nodes: directories and the like.
pub(super) fn single(physical: u32, length: u32) -> [u8; 60] {
    debug_assert!(length <= MAX_LENGTH * ROOT_ENTRIES as u32);
    build(&[Extent { logical: 0, physical, length }], 0).body
}

struct Entry {
    logical: u32,
    bytes: [u8; ENTRY],
}

impl Entry {
    fn leaf(extent: Extent) -> Self {
        let mut bytes = [0; ENTRY];
        put32(&mut bytes, 0, extent.logical);
        put16(&mut bytes, 4, extent.length as u16);
        put32(&mut bytes, 8, extent.physical);
        Self { logical: extent.logical, bytes }
    }

    fn index(logical: u32, block: u32) -> Self {
        let mut bytes = [0; ENTRY];
        put32(&mut bytes, 0, logical);
        put32(&mut bytes, 4, block);
        Self { logical, bytes }
    }
}

fn split(extent: Extent) -> impl Iterator<Item = Extent> {
    (0..extent.length).step_by(MAX_LENGTH as usize).map(move |done| Extent {
        logical: extent.logical + done,
        physical: extent.physical + done,
        length: MAX_LENGTH.min(extent.length - done),
    })
}

fn write_node(node: &mut [u8], entries: &[Entry], capacity: usize, depth: u16) {
    put16(node, 0, MAGIC);
    put16(node, 2, entries.len() as u16);
    put16(node, 4, capacity as u16);
    put16(node, 6, depth);
    for (entry, slot) in entries.iter().zip(node[ENTRY..].chunks_exact_mut(ENTRY)) {
        slot.copy_from_slice(&entry.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(node: &[u8], blocks: &[[u8; BLOCK_SIZE]], base: u32, found: &mut Vec<(u32, u32, u32)>) {
        let half = |at: usize| u16::from_le_bytes([node[at], node[at + 1]]);
        let word = |at: usize| u32::from_le_bytes(node[at..at + 4].try_into().unwrap());
        for slot in 0..usize::from(half(2)) {
            let at = ENTRY + slot * ENTRY;
            if half(6) == 0 {
                found.push((word(at), word(at + 8), u32::from(half(at + 4))));
            } else {
                walk(&blocks[(word(at + 4) - base) as usize], blocks, base, found);
            }
        }
    }

    /// 43.75 GiB in one run is where the writer we replace went wrong: more than one leaf.
    #[test]
    fn every_depth_maps_each_block_once() {
        for runs in [0, 1, 4, 5, 340, 341, 1360, 1361, 200_000] {
            let extents: Vec<_> =
                (0..runs).map(|n| Extent { logical: n * 3, physical: 100 + n * 2, length: 2 }).collect();
            let tree = build(&extents, 7);
            let mut found = Vec::new();
            walk(&tree.body, &tree.blocks, 7, &mut found);
            let expected: Vec<_> = extents.iter().map(|e| (e.logical, e.physical, e.length)).collect();
            assert_eq!(found, expected, "{runs} runs");
        }
        let length = 350 * MAX_LENGTH + 1;
        let tree = build(&[Extent { logical: 0, physical: 9, length }], 1);
        let mut found = Vec::new();
        walk(&tree.body, &tree.blocks, 1, &mut found);
        let mut next = 0;
        for (logical, physical, length) in found {
            assert_eq!((logical, physical), (next, next + 9));
            next += length;
        }
        assert_eq!(next, length);
    }
}
