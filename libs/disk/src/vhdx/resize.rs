use std::io::{self, Read, Seek, SeekFrom, Write};

use super::header::Header;
use super::log::Replay;
use super::parse::{Metadata, Regions, chunk_ratio, read_at};
use super::tables::{self, BAT_REGION, KIB64, REGION_TABLES};
use super::{MAX_SIZE, VhdxError};
use crate::bytes::{get32, low32, put, put32};

const MIB: u64 = 1 << 20;

/// Make a disk larger, in place; the new part reads as zeros. The disk must not be in use.
///
/// A log that was left behind is replayed first. A table that is too short for the new size is copied to the end of the file first, and the size is written last: a
/// failure on the way leaves the old disk.
pub fn grow<F: Read + Write + Seek>(file: &mut F, size: u64) -> Result<(), VhdxError> {
    let header = Header::read(file)?;
    if !header.log().is_nil() {
        Replay::read(file, &header)?.write(file, &header)?;
    }
    let regions = Regions::read(file)?;
    let metadata = Metadata::read(file, &regions)?;
    if size < metadata.size {
        return Err(VhdxError::Shrink { size, current: metadata.size });
    }
    if size > MAX_SIZE || !size.is_multiple_of(metadata.sector_size) {
        return Err(VhdxError::Size { size });
    }
    let blocks = size.div_ceil(metadata.block_size);
    let ratio = chunk_ratio(metadata.block_size, metadata.sector_size);
    let needed = (8 * (blocks + (blocks - 1) / ratio)).next_multiple_of(MIB);
    if needed > regions.bat.1 {
        move_table(file, regions.bat, needed)?;
    }
    write_at(file, metadata.size_at, &size.to_le_bytes(), "the size")?;
    file.flush().map_err(|source| VhdxError::Write { part: "the end", source })
}

/// Copy the block table to the end of the file, `length` bytes long, and let both region tables point there.
fn move_table<F: Read + Write + Seek>(file: &mut F, old: (u64, u64), length: u64) -> Result<(), VhdxError> {
    let fault = |source| VhdxError::Write { part: "the block table", source };
    let end = file.seek(SeekFrom::End(0)).map_err(fault)?.next_multiple_of(MIB);
    let mut piece = vec![0; KIB64];
    for done in (0..old.1).step_by(KIB64) {
        read_at(file, old.0 + done, &mut piece, "the block table")?;
        write_at(file, end + done, &piece, "the block table")?;
    }
    // What is behind the copy was not there before: it reads as zeros, which is "not present".
    write_at(file, end + length - 1, &[0], "the block table")?;
    file.flush().map_err(fault)?;
    for at in REGION_TABLES {
        let mut table = vec![0; KIB64];
        read_at(file, at, &mut table, "the region table")?;
        point_to(&mut table, end, length);
        write_at(file, at, &table, "the region table")?;
        file.flush().map_err(fault)?;
    }
    Ok(())
}

fn point_to(table: &mut [u8], at: u64, length: u64) {
    let count = get32(table, 8) as usize;
    let bat = table[16..].chunks_exact_mut(32).take(count).find(|entry| entry[..16] == BAT_REGION.bytes());
    if let Some(entry) = bat {
        put(entry, 16, at.to_le_bytes());
        put32(entry, 24, low32(length));
    }
    tables::seal(table);
}

pub(super) fn write_at<F: Write + Seek>(
    file: &mut F,
    at: u64,
    bytes: &[u8],
    part: &'static str,
) -> Result<(), VhdxError> {
    let write = |file: &mut F| -> io::Result<()> {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    };
    write(file).map_err(|source| VhdxError::Write { part, source })
}
