//! The levels of the tree and how they are computed.
use std::io::{Read, Seek, Write};
use std::num::NonZero;
use std::thread;

use sha2::{Digest, Sha256};

use super::{BLOCK, BLOCK_SIZE, HASH_SIZE, RootHash, VerityError, seek};

/// Hashes in a block of the tree.
const FAN_OUT: usize = BLOCK_SIZE / HASH_SIZE;
/// Blocks hashed at a time: whole blocks of hashes, enough to keep several processors busy.
const BATCH: usize = 8 * FAN_OUT;
const MAX_THREADS: usize = 4;

/// Where the levels are. Level 0 holds the hashes of the data; the last one is a single block.
pub(super) struct Levels {
    data_blocks: u64,
    /// Blocks of each level.
    counts: Vec<u64>,
    /// First byte of the tree.
    start: u64,
}

impl Levels {
    /// Of the tree whose superblock is at byte `superblock_at`. One data block has no tree: its hash is the root.
    pub(super) fn new(superblock_at: u64, data_blocks: u64) -> Self {
        let mut counts = Vec::new();
        let mut below = data_blocks;
        while below > 1 {
            below = below.div_ceil(FAN_OUT as u64);
            counts.push(below);
        }
        Self { data_blocks, counts, start: superblock_at.saturating_add(BLOCK) }
    }

    /// The block that the root hash is of.
    pub(super) fn top(&self) -> u64 {
        if self.counts.is_empty() { 0 } else { self.start }
    }

    /// First byte behind the tree.
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.counts.iter().sum::<u64>().saturating_mul(BLOCK))
    }

    /// First byte of a level: the higher ones come before it.
    fn at(&self, level: usize) -> u64 {
        self.start + self.counts[level + 1..].iter().sum::<u64>() * BLOCK
    }
}

/// Compute the tree of the data at the start of `disk`, give every part of it to `emit` together with its place, and
/// return the root hash. Only the levels above the first are kept in memory: 64 bytes for every MiB of data.
pub(super) fn walk<F: Read + Seek>(
    disk: &mut F,
    levels: &Levels,
    salt: &[u8],
    mut emit: impl FnMut(&mut F, u64, &[u8]) -> Result<(), VerityError>,
) -> Result<RootHash, VerityError> {
    let salted = salted(salt);
    // Hashes of the level below: of the data in batches, then of whole levels.
    let mut buffer = vec![0; BATCH * BLOCK_SIZE];
    let mut done = 0;
    let mut above = Vec::new();
    while done < levels.data_blocks {
        let blocks = (levels.data_blocks - done).min(BATCH as u64);
        let bytes = &mut buffer[..blocks as usize * BLOCK_SIZE];
        get(disk, done * BLOCK, bytes, "data")?;
        let mut hashes = digests(&salted, bytes);
        if levels.counts.is_empty() {
            return Ok(root(&hashes));
        }
        hashes.resize(hashes.len().next_multiple_of(BLOCK_SIZE), 0);
        let place = levels.at(0) + done / FAN_OUT as u64 * BLOCK;
        emit(disk, place, &hashes)?;
        above.extend(digests(&salted, &hashes));
        done += blocks;
    }
    for level in 1..levels.counts.len() {
        above.resize(above.len().next_multiple_of(BLOCK_SIZE), 0);
        emit(disk, levels.at(level), &above)?;
        above = digests(&salted, &above);
    }
    Ok(root(&above))
}

/// The state of a hash that has taken in the salt.
pub(super) fn salted(salt: &[u8]) -> Sha256 {
    Sha256::new().chain_update(salt)
}

pub(super) fn digest(salted: &Sha256, block: &[u8]) -> [u8; HASH_SIZE] {
    salted.clone().chain_update(block).finalize().into()
}

/// The hashes of all blocks in `data`, one after the other.
fn digests(salted: &Sha256, data: &[u8]) -> Vec<u8> {
    let mut hashes = vec![0; data.len() / BLOCK_SIZE * HASH_SIZE];
    let fill = |data: &[u8], hashes: &mut [u8]| {
        for (block, hash) in data.chunks_exact(BLOCK_SIZE).zip(hashes.chunks_exact_mut(HASH_SIZE)) {
            hash.copy_from_slice(&digest(salted, block));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let share = (data.len() / BLOCK_SIZE).div_ceil(threads).max(FAN_OUT);
    thread::scope(|scope| {
        let parts = data.chunks(share * BLOCK_SIZE).zip(hashes.chunks_mut(share * HASH_SIZE));
        let mut parts = parts.collect::<Vec<_>>().into_iter();
        let first = parts.next();
        for (data, hashes) in parts {
            scope.spawn(move || fill(data, hashes));
        }
        if let Some((data, hashes)) = first {
            fill(data, hashes);
        }
    });
    hashes
}

fn root(hashes: &[u8]) -> RootHash {
    let mut root = [0; HASH_SIZE];
    root.copy_from_slice(&hashes[..HASH_SIZE]);
    RootHash(root)
}

pub(super) fn get<F: Read + Seek>(
    disk: &mut F,
    at: u64,
    bytes: &mut [u8],
    part: &'static str,
) -> Result<(), VerityError> {
    seek(disk, at).and_then(|()| disk.read_exact(bytes)).map_err(|source| VerityError::Io {
        action: "reading",
        part,
        source,
    })
}

pub(super) fn put<F: Write + Seek>(disk: &mut F, at: u64, bytes: &[u8]) -> Result<(), VerityError> {
    seek(disk, at).and_then(|()| disk.write_all(bytes)).map_err(|source| VerityError::Io {
        action: "writing",
        part: "tree",
        source,
    })
}
