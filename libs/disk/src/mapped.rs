//! Disks whose blocks are found by a table: what dynamic VHD and VHDX have in common.
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::seek;

/// Finds blocks in the file.
pub(crate) trait Map {
    /// Bytes per block.
    fn block_size(&self) -> u64;

    /// Where the file has a block; `None` if it is all zeros.
    fn locate<F: Read + Seek>(&self, file: &mut F, block: u64) -> io::Result<Option<u64>>;
}

/// The disk itself: reads like a raw one.
#[derive(Debug)]
pub(crate) struct Mapped<F, M> {
    pub(crate) file: F,
    pub(crate) map: M,
    size: u64,
    position: u64,
    /// The block found last, and where.
    last: Option<(u64, Option<u64>)>,
}

impl<F, M> Mapped<F, M> {
    pub(crate) fn new(file: F, map: M, size: u64) -> Self {
        Self { file, map, size, position: 0, last: None }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl<F: Read + Seek, M: Map> Mapped<F, M> {
    fn locate(&mut self, block: u64) -> io::Result<Option<u64>> {
        match self.last {
            Some((last, place)) if last == block => Ok(place),
            _ => {
                let place = self.map.locate(&mut self.file, block)?;
                self.last = Some((block, place));
                Ok(place)
            }
        }
    }
}

impl<F: Read + Seek, M: Map> Read for Mapped<F, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.map.block_size();
        let within = self.position % size;
        let room = (size - within).min(self.size.saturating_sub(self.position));
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..count];
        if count == 0 {
            return Ok(0);
        }
        let count = match self.locate(self.position / size)? {
            None => {
                buffer.fill(0);
                count
            }
            Some(place) => {
                let at = place.checked_add(within).ok_or(io::ErrorKind::InvalidData)?;
                self.file.seek(SeekFrom::Start(at))?;
                match self.file.read(buffer)? {
                    0 => {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "a block lies behind the end",
                        ));
                    }
                    count => count,
                }
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl<F, M> Seek for Mapped<F, M> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek::target(to, self.position, self.size)?;
        Ok(self.position)
    }
}

/// Makes room for blocks at the end of a file.
pub(crate) trait Extend {
    /// Bytes per block.
    const BLOCK: u64;

    /// Adds a block of zeros to a file that ends at `end`; gives where it is and where the file ends now.
    fn extend<W: Write + Seek>(file: &mut W, end: u64) -> io::Result<(u64, u64)>;
}

/// A new disk under construction: takes writes like a raw one. Its tables are for its owner to write.
#[derive(Debug)]
pub(crate) struct Growing<W, E> {
    pub(crate) file: W,
    pub(crate) size: u64,
    /// Where in the file the blocks that exist are.
    pub(crate) blocks: BTreeMap<u64, u64>,
    /// The end of the file.
    pub(crate) end: u64,
    position: u64,
    form: std::marker::PhantomData<E>,
}

impl<W, E> Growing<W, E> {
    /// A disk of `size` bytes, all zero, whose blocks come after `end` in the file.
    pub(crate) fn new(file: W, size: u64, end: u64) -> Self {
        Self { file, size, blocks: BTreeMap::new(), end, position: 0, form: std::marker::PhantomData }
    }
}

impl<W: Write + Seek, E: Extend> Growing<W, E> {
    /// Where a block is in the file; it is added at the end if it is not there yet.
    fn block(&mut self, block: u64) -> io::Result<u64> {
        if let Some(&place) = self.blocks.get(&block) {
            return Ok(place);
        }
        let (place, end) = E::extend(&mut self.file, self.end)?;
        self.end = end;
        self.blocks.insert(block, place);
        Ok(place)
    }
}

impl<W: Write + Seek, E: Extend> Write for Growing<W, E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let within = self.position % E::BLOCK;
        let room = (E::BLOCK - within).min(self.size.saturating_sub(self.position));
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 {
            return Ok(0);
        }
        let place = self.block(self.position / E::BLOCK)?;
        self.file.seek(SeekFrom::Start(place + within))?;
        let count = self.file.write(&bytes[..count])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<W, E> Seek for Growing<W, E> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek::target(to, self.position, self.size)?;
        Ok(self.position)
    }
}
