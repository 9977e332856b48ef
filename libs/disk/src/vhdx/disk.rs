use std::io::{self, Seek, SeekFrom, Write};

use super::resize::write_at;
use super::{BLOCK_SIZE, MAX_SIZE, VhdxError, tables};
use crate::mapped::{Extend, Growing};

/// A new disk under construction: write and seek in it as in a raw one, then [`finish`](Self::finish).
///
/// The file behind it must be new: what was never written must read as zeros.
#[derive(Debug)]
pub struct Disk<W> {
    blocks: Growing<W, Blocks>,
    id: [u8; 16],
}

#[derive(Debug)]
struct Blocks;

impl Extend for Blocks {
    const BLOCK: u64 = BLOCK_SIZE;

    fn extend<W: Write + Seek>(file: &mut W, end: u64) -> io::Result<(u64, u64)> {
        let next = end + BLOCK_SIZE;
        // The last byte makes the file long enough; the rest of the block is a hole.
        file.seek(SeekFrom::Start(next - 1))?;
        file.write_all(&[0])?;
        Ok((end, next))
    }
}

impl<W: Write + Seek> Disk<W> {
    /// A disk of `size` bytes, all zero, in the empty file `file`.
    pub fn new(mut file: W, size: u64, id: [u8; 16]) -> Result<Self, VhdxError> {
        if size == 0 || size > MAX_SIZE || !size.is_multiple_of(512) {
            return Err(VhdxError::Size { size });
        }
        let end = tables::BAT_AT + tables::bat_length(size);
        write_at(&mut file, end - 1, &[0], "the end")?;
        Ok(Self { blocks: Growing::new(file, size, end), id })
    }

    /// Write the tables. Until then the file is no disk.
    pub fn finish(self) -> Result<W, VhdxError> {
        let Growing { mut file, size, blocks, .. } = self.blocks;
        for (block, offset) in blocks {
            let entry = tables::bat_entry(offset).to_le_bytes();
            write_at(&mut file, tables::BAT_AT + 8 * tables::bat_index(block), &entry, "the block table")?;
        }
        let (at, metadata) = tables::metadata(size, self.id);
        write_at(&mut file, at, &metadata, "the metadata")?;
        write_at(&mut file, 0, &tables::header_section(size, self.id), "the header")?;
        file.flush().map_err(|source| VhdxError::Write { part: "the end", source })?;
        Ok(file)
    }
}

impl<W: Write + Seek> Write for Disk<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.blocks.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.blocks.flush()
    }
}

impl<W> Seek for Disk<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.blocks.seek(to)
    }
}
