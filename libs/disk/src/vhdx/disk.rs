use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write};

use super::{BLOCK_SIZE, MAX_SIZE, VhdxError, tables};
use crate::seek;

/// A new disk under construction: write and seek in it as in a raw one, then [`finish`](Self::finish).
///
/// The file behind it must be new: what was never written must read as zeros.
#[derive(Debug)]
pub struct Disk<W> {
    file: W,
    size: u64,
    id: [u8; 16],
    position: u64,
    /// Where in the file the blocks that exist are.
    blocks: BTreeMap<u64, u64>,
    /// The end of the file.
    end: u64,
}

impl<W: Write + Seek> Disk<W> {
    /// A disk of `size` bytes, all zero, in the empty file `file`.
    pub fn new(file: W, size: u64, id: [u8; 16]) -> Result<Self, VhdxError> {
        if size == 0 || size > MAX_SIZE || !size.is_multiple_of(512) {
            return Err(VhdxError::Size { size });
        }
        let end = tables::BAT_AT + tables::bat_length(size);
        let mut disk = Self { file, size, id, position: 0, blocks: BTreeMap::new(), end };
        disk.put(end - 1, &[0], "the end")?;
        Ok(disk)
    }

    /// Write the tables. Until then the file is no disk.
    pub fn finish(mut self) -> Result<W, VhdxError> {
        let entries = self.blocks.iter().map(|(&block, &offset)| (tables::bat_index(block), offset));
        for (index, offset) in entries.collect::<Vec<_>>() {
            let entry = tables::bat_entry(offset).to_le_bytes();
            self.put(tables::BAT_AT + 8 * index, &entry, "the block table")?;
        }
        let (at, metadata) = tables::metadata(self.size, self.id);
        self.put(at, &metadata, "the metadata")?;
        self.put(0, &tables::header_section(self.size, self.id), "the header")?;
        self.file.flush().map_err(|source| VhdxError::Write { part: "the end", source })?;
        Ok(self.file)
    }

    /// Where a block is in the file; it is added at the end if it is not there yet.
    fn block(&mut self, block: u64) -> io::Result<u64> {
        if let Some(&offset) = self.blocks.get(&block) {
            return Ok(offset);
        }
        let offset = self.end;
        self.end += BLOCK_SIZE;
        // The last byte makes the file long enough; the rest of the block is a hole.
        self.file.seek(SeekFrom::Start(self.end - 1))?;
        self.file.write_all(&[0])?;
        self.blocks.insert(block, offset);
        Ok(offset)
    }

    fn put(&mut self, at: u64, bytes: &[u8], part: &'static str) -> Result<(), VhdxError> {
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(|source| VhdxError::Write { part, source })
    }
}

impl<W: Write + Seek> Write for Disk<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let within = self.position % BLOCK_SIZE;
        let room = (BLOCK_SIZE - within).min(self.size.saturating_sub(self.position));
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 {
            return Ok(0);
        }
        let offset = self.block(self.position / BLOCK_SIZE)?;
        self.file.seek(SeekFrom::Start(offset + within))?;
        let count = self.file.write(&bytes[..count])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<W> Seek for Disk<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek::target(to, self.position, self.size)?;
        Ok(self.position)
    }
}
