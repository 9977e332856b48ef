//! Disks whose blocks are found by a table: what dynamic VHD and VHDX have in common when they are read.
use std::io::{self, Read, Seek, SeekFrom};

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
