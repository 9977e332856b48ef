//! A file below changes that were never written to it.
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

use crate::seek;

/// Bytes that replace a file's own. Later ones hide earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Pieces by their start; none overlaps another.
    pieces: BTreeMap<u64, Piece>,
}

/// What lies at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Behind its last byte.
    pub(crate) end: u64,
    /// Its bytes; without any it is all zeros.
    pub(crate) data: Option<Vec<u8>>,
}

impl Changes {
    /// Bytes at `at`.
    pub(crate) fn write(&mut self, at: u64, data: Vec<u8>) {
        self.insert(at, Piece { end: at + data.len() as u64, data: Some(data) });
    }

    /// Zeros from `at` up to `end`.
    pub(crate) fn zero(&mut self, at: u64, end: u64) {
        self.insert(at, Piece { end, data: None });
    }

    /// All pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, &Piece)> {
        self.pieces.iter().map(|(&at, piece)| (at, piece))
    }

    fn insert(&mut self, at: u64, piece: Piece) {
        if at >= piece.end {
            return;
        }
        while let Some((start, below)) = self.pieces.range(..piece.end).next_back() {
            let start = *start;
            if below.end <= at {
                break;
            }
            let below = self.pieces.remove(&start).unwrap_or(Piece { end: at, data: None });
            let part = |from: u64, to: u64| Piece {
                end: to,
                data: below.data.as_ref().map(|data| data[index(from - start)..index(to - start)].to_vec()),
            };
            if start < at {
                self.pieces.insert(start, part(start, at));
            }
            if below.end > piece.end {
                self.pieces.insert(piece.end, part(piece.end, below.end));
            }
        }
        self.pieces.insert(at, piece);
    }

    /// The piece at `at` and where it begins; else where the next one begins.
    fn find(&self, at: u64) -> Result<(u64, &Piece), Option<u64>> {
        match self.pieces.range(..=at).next_back() {
            Some((&start, piece)) if piece.end > at => Ok((start, piece)),
            _ => Err(self.pieces.range(at..).next().map(|(&start, _)| start)),
        }
    }
}

/// Lengths of pieces with data are those of buffers.
fn index(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Reads like the file with its changes made.
#[derive(Debug)]
pub(crate) struct Overlaid<F> {
    file: F,
    changes: Changes,
    length: u64,
    position: u64,
}

impl<F> Overlaid<F> {
    /// A file of `length` bytes with its changes; what it lacks of them reads as zeros.
    pub(crate) fn new(file: F, changes: Changes, length: u64) -> Self {
        Self { file, changes, length, position: 0 }
    }
}

impl<F: Read + Seek> Read for Overlaid<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.position;
        let room = |end: u64, buffer: &[u8]| index(end.saturating_sub(at)).min(buffer.len());
        let count = match self.changes.find(at) {
            Ok((start, piece)) => {
                let count = room(piece.end, buffer);
                match &piece.data {
                    Some(data) => buffer[..count].copy_from_slice(&data[index(at - start)..][..count]),
                    None => buffer[..count].fill(0),
                }
                count
            }
            Err(next) => {
                let count = room(next.map_or(self.length, |next| next.min(self.length)), buffer);
                if count == 0 {
                    return Ok(0);
                }
                self.file.seek(SeekFrom::Start(at))?;
                match self.file.read(&mut buffer[..count])? {
                    0 => {
                        buffer[..count].fill(0);
                        count
                    }
                    read => read,
                }
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl<F> Seek for Overlaid<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek::target(to, self.position, self.length)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a copy of the file to which everything was written.
        #[test]
        fn changes_read_like_writes(
            writes in proptest::collection::vec((0..400u64, 1..200u64, any::<Option<u8>>()), 0..20),
            from in 0..500usize,
        ) {
            let file: Vec<u8> = (0..300u32).map(|i| (i % 251) as u8).collect();
            let mut expected = file.clone();
            expected.resize(600, 0);
            let mut changes = Changes::default();
            for (at, length, value) in writes {
                let place = &mut expected[index(at)..index(at + length)];
                place.fill(value.unwrap_or(0));
                match value {
                    Some(value) => changes.write(at, vec![value; index(length)]),
                    None => changes.zero(at, at + length),
                }
            }
            let mut read = Vec::new();
            let mut overlaid = Overlaid::new(Cursor::new(file), changes, 600);
            overlaid.seek(SeekFrom::Start(from as u64)).unwrap();
            overlaid.read_to_end(&mut read).unwrap();
            prop_assert!(read == expected[from..]);
        }
    }
}
