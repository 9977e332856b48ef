//! Blocks of the disk, as they are after the journal was replayed.
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use super::error::{ReadError, corrupt};
use super::superblock::Geometry;

/// Blocks kept in memory: inode tables and directories are read again and again.
const CACHED: usize = 64;
/// First byte of the superblock.
const SUPERBLOCK: u64 = 1024;

/// Where the newest copy of a block is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    /// Block in the journal, by its number on the disk.
    pub(super) block: u64,
    /// Its first four bytes were taken out, for they look like a journal block's.
    pub(super) escaped: bool,
}

/// The disk of a file system.
#[derive(Debug)]
pub(super) struct Blocks<D> {
    disk: D,
    pub(super) geometry: Geometry,
    /// What the journal has to say.
    updates: HashMap<u64, Update>,
    cache: Vec<(u64, Vec<u8>)>,
}

impl<D: Read + Seek> Blocks<D> {
    pub(super) fn open(mut disk: D) -> Result<Self, ReadError> {
        let size = disk.seek(SeekFrom::End(0)).map_err(|source| ReadError::Io { at: 0, source })?;
        let mut superblock = [0; 1024];
        let least = SUPERBLOCK + superblock.len() as u64;
        if size < least {
            return Err(ReadError::TooShort { size, least });
        }
        read_at(&mut disk, SUPERBLOCK, &mut superblock)?;
        let geometry = Geometry::parse(&superblock)?;
        if geometry.bytes() > size {
            return Err(ReadError::Truncated { size, expected: geometry.bytes() });
        }
        let cache = vec![(u64::MAX, Vec::new()); CACHED];
        Ok(Self { disk, geometry, updates: HashMap::new(), cache })
    }

    /// Read these blocks elsewhere from now on.
    pub(super) fn set_updates(&mut self, updates: HashMap<u64, Update>) {
        self.updates = updates;
        self.cache.fill((u64::MAX, Vec::new()));
    }

    pub(super) fn block_size(&self) -> u64 {
        u64::from(self.geometry.block_size)
    }

    /// One block of metadata.
    pub(super) fn block(&mut self, number: u64) -> Result<&[u8], ReadError> {
        let slot = (number % CACHED as u64) as usize;
        if self.cache[slot].0 != number {
            let mut bytes = vec![0; self.geometry.block_size as usize];
            self.read(number, 0, &mut bytes)?;
            self.cache[slot] = (number, bytes);
        }
        Ok(&self.cache[slot].1)
    }

    /// Read from byte `offset` of block `number` on, across blocks that follow it.
    pub(super) fn read(&mut self, number: u64, offset: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        let size = self.block_size();
        let end = (offset + bytes.len() as u64).div_ceil(size);
        if number.checked_add(end).is_none_or(|end| end > self.geometry.blocks) {
            return Err(corrupt("block", number, "lies outside the file system"));
        }
        let start = number * size + offset;
        if self.updates.is_empty() {
            return read_at(&mut self.disk, start, bytes);
        }
        let (mut at, mut rest) = (start, bytes);
        while !rest.is_empty() {
            let within = at % size;
            let count = (size - within).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at_mut(count);
            self.read_newest(at / size, within, now)?;
            (at, rest) = (at + count as u64, later);
        }
        Ok(())
    }

    fn read_newest(&mut self, number: u64, within: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        let size = self.block_size();
        let Some(&update) = self.updates.get(&number) else {
            return read_at(&mut self.disk, number * size + within, bytes);
        };
        read_at(&mut self.disk, update.block * size + within, bytes)?;
        if update.escaped {
            let magic = super::journal::MAGIC.to_be_bytes();
            for (byte, original) in bytes.iter_mut().zip(magic.iter().skip(within.min(4) as usize)) {
                *byte = *original;
            }
        }
        Ok(())
    }
}

fn read_at<D: Read + Seek>(disk: &mut D, at: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
    disk.seek(SeekFrom::Start(at))
        .and_then(|_| disk.read_exact(bytes))
        .map_err(|source| ReadError::Io { at, source })
}
