//! The disk as a sequence of blocks, written in large pieces.
use std::io::{self, Seek, SeekFrom, Write};

use super::LayerError;
use super::reserve::{Reserve, Reserved};
use crate::ext4::layout::{BLOCK, BLOCK_SIZE};

/// Small enough to stay in a processor's cache between reading and writing, and so large that the kernel takes memory for
/// what is written in large pieces, too. Every write but the last begins and ends at a multiple of it.
const BUFFER: usize = 1 << 20;

/// Appends blocks to the disk.
pub(super) struct Sink<W> {
    out: W,
    buffer: Box<[u8]>,
    used: usize,
    /// Bytes of the disk before the buffer.
    base: u64,
    limit: u64,
    reserved: Reserved<W>,
}

impl<W: Write + Seek> Sink<W> {
    /// Start at block `first`; everything before it is zero until [`Self::rewrite`].
    pub(super) fn new(
        mut out: W,
        first: u32,
        limit: u64,
        reserve: Option<Reserve<W>>,
    ) -> Result<Self, LayerError> {
        out.seek(SeekFrom::Start(0)).map_err(fault("the start"))?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let mut sink = Self { out, buffer, used: 0, base: 0, limit, reserved: Reserved::new(reserve) };
        sink.zeros(u64::from(first) * BLOCK)?;
        Ok(sink)
    }

    /// The block that is written next; what was written last must have been padded.
    pub(super) fn block(&self) -> u32 {
        debug_assert_eq!(self.used % BLOCK_SIZE, 0);
        ((self.base + self.used as u64) / BLOCK) as u32
    }

    /// Append bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), LayerError> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.used += count;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Append `count` bytes that `read` puts straight into the buffer.
    pub(super) fn fill<E: Into<LayerError>>(
        &mut self,
        mut count: u64,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), LayerError> {
        while count > 0 {
            let room = self.room()?;
            let wanted = usize::try_from(count).unwrap_or(usize::MAX).min(room.len());
            let got = read(&mut room[..wanted]).map_err(Into::into)?;
            self.used += got;
            count -= got as u64;
        }
        Ok(())
    }

    /// Append zeros.
    pub(super) fn zeros(&mut self, mut count: u64) -> Result<(), LayerError> {
        while count > 0 {
            let room = self.room()?;
            let now = usize::try_from(count).unwrap_or(usize::MAX).min(room.len());
            room[..now].fill(0);
            self.used += now;
            count -= now as u64;
        }
        Ok(())
    }

    /// Fill the current block with zeros.
    pub(super) fn pad(&mut self) -> Result<(), LayerError> {
        self.zeros((self.used as u64).wrapping_neg() % BLOCK)
    }

    /// Finish with `footer` at the end and `head` at the start of the disk.
    pub(super) fn rewrite(mut self, footer: &[u8], head: &[u8]) -> Result<(), LayerError> {
        self.flush()?;
        self.out.write_all(footer).map_err(fault("the footer"))?;
        self.out.seek(SeekFrom::Start(0)).map_err(fault("the superblock"))?;
        self.out.write_all(head).map_err(fault("the superblock"))?;
        self.out.flush().map_err(fault("the superblock"))
    }

    fn room(&mut self) -> Result<&mut [u8], LayerError> {
        if self.used == BUFFER {
            self.reserved.up_to(self.base + BUFFER as u64, &self.out);
            self.flush()?;
        }
        Ok(&mut self.buffer[self.used..])
    }

    fn flush(&mut self) -> Result<(), LayerError> {
        self.check_limit(self.base + self.used as u64)?;
        self.out.write_all(&self.buffer[..self.used]).map_err(fault("the content"))?;
        self.base += self.used as u64;
        self.used = 0;
        Ok(())
    }

    fn check_limit(&self, end: u64) -> Result<(), LayerError> {
        if end > self.limit {
            return Err(LayerError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

fn fault(part: &'static str) -> impl Fn(io::Error) -> LayerError {
    move |source| LayerError::Write { part, source }
}
