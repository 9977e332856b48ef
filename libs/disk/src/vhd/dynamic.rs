//! Dynamic VHDs: a table of blocks of 2 MiB, each behind a bitmap of its sectors.
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{DiskType, FOOTER_SIZE, Footer, VhdError, checksum, find_footer};
use crate::mapped::{Extend, Growing, Map, Mapped};

const HEADER_SIZE: usize = 1024;
const COOKIE: &[u8; 8] = b"cxsparse";
const SECTOR: u64 = 512;
/// Bytes per block of the disks made here, as everybody else's.
const BLOCK: u64 = 2 << 20;
const ABSENT: u32 = u32::MAX;
/// Where the parts of a file made here are.
const HEADER_AT: u64 = FOOTER_SIZE as u64;
const TABLE_AT: u64 = HEADER_AT + HEADER_SIZE as u64;
/// Largest disk: 2040 GiB, as Windows has it.
const MAX_SIZE: u64 = 2040 << 30;

/// Bytes of the bitmap in front of a block.
fn bitmap_size(block: u64) -> u64 {
    (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR)
}

/// Where the table is and how large blocks are.
#[derive(Debug)]
struct Table {
    at: u64,
    entries: u32,
    block: u64,
}

impl Map for Table {
    fn block_size(&self) -> u64 {
        self.block
    }

    fn locate<F: Read + Seek>(&self, file: &mut F, block: u64) -> io::Result<Option<u64>> {
        if block >= self.entries.into() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the block table is too short"));
        }
        let mut entry = [0; 4];
        file.seek(SeekFrom::Start(self.at + 4 * block))?;
        file.read_exact(&mut entry)?;
        let sector = u32::from_be_bytes(entry);
        // Sectors that the bitmap has not are zero in the block as well.
        Ok((sector != ABSENT).then(|| u64::from(sector) * SECTOR + bitmap_size(self.block)))
    }
}

/// A dynamic VHD, read as if it were raw.
#[derive(Debug)]
pub struct Dynamic<F>(Mapped<F, Table>);

impl<F: Read + Seek> Dynamic<F> {
    /// Read footer and header.
    pub fn open(mut file: F) -> Result<Self, VhdError> {
        let fault = |source| VhdError::Io { source };
        let footer = find_footer(&mut file)
            .map_err(fault)?
            .ok_or(VhdError::Header { reason: "there is no footer" })?;
        if footer.disk_type != DiskType::Dynamic {
            return Err(VhdError::Header { reason: "the disk is not dynamic" });
        }
        let mut header = [0; HEADER_SIZE];
        file.seek(SeekFrom::Start(footer.header_at)).map_err(fault)?;
        file.read_exact(&mut header).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                VhdError::Header { reason: "the file ends before its header does" }
            }
            _ => fault(source),
        })?;
        let word = |at: usize| u32::from_be_bytes(crate::bytes::get(&header, at));
        if !header.starts_with(COOKIE) || word(36) != checksum(&header, 36) {
            return Err(VhdError::Header { reason: "the header is damaged" });
        }
        let block = u64::from(word(32));
        if !block.is_power_of_two() || block < SECTOR {
            return Err(VhdError::Header { reason: "impossible block size" });
        }
        let at = u64::from(word(16)) << 32 | u64::from(word(20));
        let entries = word(28);
        if at > u64::MAX / 2 || footer.size.div_ceil(block) > entries.into() {
            return Err(VhdError::Header { reason: "the block table is too short" });
        }
        Ok(Self(Mapped::new(file, Table { at, entries, block }, footer.size)))
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }
}

impl<F: Read + Seek> Read for Dynamic<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<F> Seek for Dynamic<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// A new dynamic VHD under construction: write and seek in it as in a raw disk, then [`finish`](Self::finish).
///
/// The file behind it must be new: what was never written must read as zeros.
#[derive(Debug)]
pub struct DynamicWriter<W> {
    blocks: Growing<W, Blocks>,
    id: [u8; 16],
}

#[derive(Debug)]
struct Blocks;

impl Extend for Blocks {
    const BLOCK: u64 = BLOCK;

    fn extend<W: Write + Seek>(file: &mut W, end: u64) -> io::Result<(u64, u64)> {
        let bitmap = bitmap_size(BLOCK);
        // All sectors count as written: those that were not are zero.
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&vec![0xff; bitmap as usize])?;
        Ok((end + bitmap, end + bitmap + BLOCK))
    }
}

impl<W: Write + Seek> DynamicWriter<W> {
    /// A disk of `size` bytes, all zero, in the empty file `file`.
    pub fn new(file: W, size: u64, id: [u8; 16]) -> Result<Self, VhdError> {
        if size == 0 || size > MAX_SIZE || !size.is_multiple_of(SECTOR) {
            return Err(VhdError::Size { size });
        }
        let table = (4 * size.div_ceil(BLOCK)).next_multiple_of(SECTOR);
        Ok(Self { blocks: Growing::new(file, size, TABLE_AT + table), id })
    }

    /// Write the tables and both footers. Until then the file is no disk.
    pub fn finish(self) -> Result<W, VhdError> {
        let Growing { mut file, size, blocks, end, .. } = self.blocks;
        let count = size.div_ceil(BLOCK);
        let mut table = Vec::new();
        for block in 0..count {
            let sector = |&place: &u64| ((place - bitmap_size(BLOCK)) / SECTOR) as u32;
            let entry = blocks.get(&block).map_or(ABSENT, sector);
            table.extend_from_slice(&entry.to_be_bytes());
        }
        table.resize(table.len().next_multiple_of(SECTOR as usize), 0xff);
        let footer = Footer::dynamic(size, self.id, HEADER_AT).encode();
        let parts: [(u64, &[u8]); 4] =
            [(TABLE_AT, &table), (HEADER_AT, &header(count as u32)), (end, &footer), (0, &footer)];
        let mut write = |at: u64, bytes: &[u8]| {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)
        };
        parts
            .into_iter()
            .try_for_each(|(at, bytes)| write(at, bytes))
            .map_err(|source| VhdError::Io { source })?;
        file.flush().map_err(|source| VhdError::Io { source })?;
        Ok(file)
    }
}

impl<W: Write + Seek> Write for DynamicWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.blocks.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.blocks.flush()
    }
}

impl<W> Seek for DynamicWriter<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.blocks.seek(to)
    }
}

fn header(entries: u32) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    let mut put = |at: usize, value: &[u8]| header[at..at + value.len()].copy_from_slice(value);
    put(0, COOKIE);
    put(8, &u64::MAX.to_be_bytes());
    put(16, &TABLE_AT.to_be_bytes());
    put(24, &0x0001_0000u32.to_be_bytes());
    put(28, &entries.to_be_bytes());
    put(32, &(BLOCK as u32).to_be_bytes());
    let sum = checksum(&header, 36);
    header[36..40].copy_from_slice(&sum.to_be_bytes());
    header
}
