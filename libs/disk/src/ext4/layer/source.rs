//! Where the bytes of a file come from.
use std::io::Read;

use super::error::{LayerError, shown};
use crate::tar::{Reader, TarError};

/// Gives the bytes of the current file, one run after the other.
pub(super) trait Source {
    type Error: Into<LayerError>;

    /// At least one byte unless `buffer` is empty.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

impl<R: Read> Source for Reader<R> {
    type Error = TarError;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        self.read_data(buffer)
    }
}

/// Bytes from outside an archive.
pub(super) struct Plain<'a, R> {
    data: R,
    path: &'a [u8],
}

impl<'a, R: Read> Plain<'a, R> {
    pub(super) fn new(data: R, path: &'a [u8]) -> Self {
        Self { data, path }
    }
}

impl<R: Read> Source for Plain<'_, R> {
    type Error = LayerError;

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        let fault = |source| LayerError::Source { path: shown(self.path), source };
        // One byte tells the end from a short read.
        let (first, rest) = buffer.split_at_mut(buffer.len().min(1));
        self.data.read_exact(first).map_err(fault)?;
        loop {
            match self.data.read(rest) {
                Ok(count) => return Ok(first.len() + count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(fault(error)),
            }
        }
    }
}
