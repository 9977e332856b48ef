use std::io::{self, Read, Seek, SeekFrom};

use super::VhdxError;
use super::header::Header;
use super::log::Replay;
use super::parse::{self, Metadata, Regions};
use super::tables::SIGNATURE;
use crate::mapped::{Map, Mapped};
use crate::overlay::Overlaid;

/// A VHDX, read as if it were raw. What its log asks for is taken for done; the file stays as it is. One with a parent is
/// refused.
#[derive(Debug)]
pub struct Reader<F>(Mapped<Overlaid<F>, Table>);

/// The block allocation table in the file.
#[derive(Debug)]
struct Table {
    at: u64,
    length: u64,
    block: u64,
    chunk_ratio: u64,
}

impl Map for Table {
    fn block_size(&self) -> u64 {
        self.block
    }

    fn locate<F: Read + Seek>(&self, file: &mut F, block: u64) -> io::Result<Option<u64>> {
        let index = block + block / self.chunk_ratio;
        if 8 * (index + 1) > self.length {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the block table is too short"));
        }
        let mut entry = [0; 8];
        file.seek(SeekFrom::Start(self.at + 8 * index))?;
        file.read_exact(&mut entry)?;
        parse::present(u64::from_le_bytes(entry))
    }
}

impl<F: Read + Seek> Reader<F> {
    /// Read headers, log, regions and metadata.
    pub fn open(mut file: F) -> Result<Self, VhdxError> {
        let header = Header::read(&mut file)?;
        let replay = Replay::read(&mut file, &header)?;
        let mut file = Overlaid::new(file, replay.changes, replay.length);
        let regions = Regions::read(&mut file)?;
        let metadata = Metadata::read(&mut file, &regions)?;
        let table = Table {
            at: regions.bat.0,
            length: regions.bat.1,
            block: metadata.block_size,
            chunk_ratio: parse::chunk_ratio(metadata.block_size, metadata.sector_size),
        };
        Ok(Self(Mapped::new(file, table, metadata.size)))
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }
}

impl<F: Read + Seek> Read for Reader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<F> Seek for Reader<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// Whether `file` starts like a VHDX.
pub fn is_vhdx<F: Read + Seek>(file: &mut F) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut signature = [0; 8];
    match file.read_exact(&mut signature) {
        Ok(()) => Ok(&signature == SIGNATURE),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
