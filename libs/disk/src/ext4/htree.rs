//! Directories with an index (kernel `Documentation/filesystems/ext4/directory.rst`, "Hash Tree Directories"): the names,
//! sorted by hash, fill the leaves, and the first block tells which hashes are where.
use super::dir::{Block, Name, entry_size};
use super::hash::half_md4;
use super::inode::mode;
use super::layout::BLOCK_SIZE;
use crate::bytes::{put16, put32};

/// Blocks from which on a directory has an index: below, reading all of it is as fast.
const MIN_BLOCKS: usize = 8;
/// Half MD4, as the superblock says too.
const HASH_VERSION: u8 = 1;
/// Where the entries of the index start: behind `.`, `..` and 8 bytes about the index; behind an unused entry.
const ROOT_ENTRIES: usize = 32;
const NODE_ENTRIES: usize = 8;
const ROOT_LIMIT: usize = (BLOCK_SIZE - ROOT_ENTRIES) / 8;
const NODE_LIMIT: usize = (BLOCK_SIZE - NODE_ENTRIES) / 8;

/// Whether a directory with these names is worth an index.
pub(super) fn is_worthwhile<'a>(names: impl Iterator<Item = &'a [u8]>) -> bool {
    names.map(entry_size).sum::<usize>() > MIN_BLOCKS * BLOCK_SIZE
}

/// Where a leaf or node begins.
#[derive(Clone, Copy)]
struct Part {
    hash: u32,
    block: u32,
}

/// All blocks of an indexed directory, the index first. `None` if there are more names than two levels can find (some ten
/// million): such a directory must be linear.
pub(super) fn blocks(
    inode: u32,
    parent: u32,
    names: &[Name<'_>],
    seed: &[u8; 16],
) -> Option<Vec<[u8; BLOCK_SIZE]>> {
    let mut sorted: Vec<(u32, Name<'_>)> =
        names.iter().map(|name| (half_md4(seed, name.text), *name)).collect();
    // The name decides between equal hashes, so that the order is always the same.
    sorted.sort_unstable_by(|a, b| (a.0, a.1.text).cmp(&(b.0, b.1.text)));
    let (leaves, hashes) = leaves(&sorted);
    let nodes = if leaves.len() <= ROOT_LIMIT { 0 } else { leaves.len().div_ceil(NODE_LIMIT) };
    if nodes > ROOT_LIMIT {
        return None;
    }
    let first = 1 + nodes as u32;
    let parts: Vec<Part> = hashes.iter().zip(first..).map(|(&hash, block)| Part { hash, block }).collect();
    let mut blocks = Vec::with_capacity(1 + nodes + leaves.len());
    if nodes == 0 {
        blocks.push(root(inode, parent, 0, &parts));
    } else {
        let groups = parts.chunks(NODE_LIMIT);
        let tops: Vec<Part> =
            groups.clone().zip(1..).map(|(group, block)| Part { hash: group[0].hash, block }).collect();
        blocks.push(root(inode, parent, 1, &tops));
        blocks.extend(groups.map(node));
    }
    blocks.extend(leaves);
    Some(blocks)
}

/// The leaves, and the hash that each is entered under: that of its first name, odd if the leaf before has names with the
/// same one.
fn leaves(sorted: &[(u32, Name<'_>)]) -> (Vec<[u8; BLOCK_SIZE]>, Vec<u32>) {
    let (mut leaves, mut hashes) = (Vec::new(), vec![0]);
    let mut block = Block::new();
    let mut last = None;
    for &(hash, name) in sorted {
        if !block.push(name) {
            leaves.push(std::mem::replace(&mut block, Block::new()).finish());
            block.push(name);
            hashes.push(if last == Some(hash) { hash | 1 } else { hash });
        }
        last = Some(hash);
    }
    leaves.push(block.finish());
    (leaves, hashes)
}

fn root(inode: u32, parent: u32, levels: u8, parts: &[Part]) -> [u8; BLOCK_SIZE] {
    let mut dots = Block::new();
    dots.push(Name { inode, mode: mode::DIRECTORY, text: b"." });
    dots.push(Name { inode: parent, mode: mode::DIRECTORY, text: b".." });
    let mut block = dots.finish();
    block[28] = HASH_VERSION;
    // Bytes of this description.
    block[29] = 8;
    block[30] = levels;
    write_parts(&mut block[ROOT_ENTRIES..], ROOT_LIMIT, parts);
    block
}

/// To those who know no index, a block without names.
fn node(parts: &[Part]) -> [u8; BLOCK_SIZE] {
    let mut block = [0; BLOCK_SIZE];
    put16(&mut block, 4, BLOCK_SIZE as u16);
    write_parts(&mut block[NODE_ENTRIES..], NODE_LIMIT, parts);
    block
}

/// The first part has no hash: room and number of parts stand there.
fn write_parts(area: &mut [u8], limit: usize, parts: &[Part]) {
    for (slot, part) in area.chunks_exact_mut(8).zip(parts) {
        put32(slot, 0, part.hash);
        put32(slot, 4, part.block);
    }
    put16(area, 0, limit as u16);
    put16(area, 2, parts.len() as u16);
}
