//! A part of a disk as a disk of its own: partitions, and the file system in front of a footer.
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::seek;

/// Bytes `start..start + length` of `inner`, counted from 0. Nothing outside can be read or written.
#[derive(Debug)]
pub struct Window<F> {
    inner: F,
    start: u64,
    length: u64,
    position: u64,
}

impl<F> Window<F> {
    /// The part of `inner` from byte `start` on.
    pub fn new(inner: F, start: u64, length: u64) -> Self {
        Self { inner, start, length: length.min(u64::MAX - start), position: 0 }
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What it is a part of.
    pub fn into_inner(self) -> F {
        self.inner
    }

    fn room(&self, wanted: usize) -> usize {
        let left = self.length.saturating_sub(self.position);
        usize::try_from(left).unwrap_or(usize::MAX).min(wanted)
    }
}

impl<F: Seek> Window<F> {
    fn reach(&mut self) -> io::Result<()> {
        self.inner.seek(SeekFrom::Start(self.start + self.position)).map(drop)
    }
}

impl<F: Read + Seek> Read for Window<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.room(buffer.len());
        if count == 0 {
            return Ok(0);
        }
        self.reach()?;
        let count = self.inner.read(&mut buffer[..count])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<F: Write + Seek> Write for Window<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.room(bytes.len());
        if count == 0 {
            return Ok(0);
        }
        self.reach()?;
        let count = self.inner.write(&bytes[..count])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<F> Seek for Window<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek::target(to, self.position, self.length)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn nothing_outside_is_touched() {
        let mut window = Window::new(Cursor::new(b"abcdefgh".to_vec()), 2, 3);
        assert!(window.write_all(b"12345").is_err());
        window.seek(SeekFrom::End(-1)).unwrap();
        let mut read = Vec::new();
        window.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"3");
        assert_eq!(window.into_inner().into_inner(), b"ab123fgh");
    }
}
