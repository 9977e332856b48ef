//! The structures in front of the blocks, read back ([MS-VHDX] sections 2.2 and 2.6).
use std::io::{self, Read, Seek, SeekFrom};

use super::crc::crc32c;
use super::tables::{
    BAT_REGION, CHUNK_SECTORS, DISK_SIZE, FILE_PARAMETERS, KIB64, LOGICAL_SIZE, METADATA_REGION,
    REGION_TABLES,
};
use super::{MAX_SIZE, VhdxError};
use crate::Guid;
use crate::bytes::{get, get16, get32, get64};

const MAX_REGIONS: u32 = 2047;
const MAX_ITEMS: u16 = 2047;
/// `HasParent` of the file parameters.
const HAS_PARENT: u32 = 2;

/// Where the two regions are: first byte and length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Regions {
    pub(super) bat: (u64, u64),
    pub(super) metadata: (u64, u64),
}

impl Regions {
    pub(super) fn read<F: Read + Seek>(file: &mut F) -> Result<Self, VhdxError> {
        let mut table = vec![0; KIB64];
        for at in REGION_TABLES {
            read_at(file, at, &mut table, "the region table")?;
            if table.starts_with(b"regi") && checksum_is_right(&table) {
                return Self::parse(&table);
            }
        }
        Err(VhdxError::Damaged { reason: "both region tables are damaged" })
    }

    fn parse(table: &[u8]) -> Result<Self, VhdxError> {
        let (mut bat, mut metadata) = (None, None);
        let count = get32(table, 8).min(MAX_REGIONS) as usize;
        for entry in table[16..].chunks_exact(32).take(count) {
            let place = (get64(entry, 16), u64::from(get32(entry, 24)));
            match Guid::from_bytes(get(entry, 0)) {
                BAT_REGION => bat = Some(place),
                METADATA_REGION => metadata = Some(place),
                _ if get32(entry, 28) & 1 != 0 => {
                    return Err(VhdxError::Unsupported { what: "an unknown region" });
                }
                _ => {}
            }
        }
        match (bat, metadata) {
            (Some(bat), Some(metadata)) if bat.0 < 1 << 62 && metadata.0 < 1 << 62 => {
                Ok(Self { bat, metadata })
            }
            _ => Err(VhdxError::Damaged { reason: "a region is missing" }),
        }
    }
}

/// What the metadata say about the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metadata {
    pub(super) block_size: u64,
    pub(super) sector_size: u64,
    pub(super) size: u64,
    /// Where in the file the size stands.
    pub(super) size_at: u64,
}

impl Metadata {
    pub(super) fn read<F: Read + Seek>(file: &mut F, regions: &Regions) -> Result<Self, VhdxError> {
        let damaged = |reason| VhdxError::Damaged { reason };
        let mut table = vec![0; KIB64];
        read_at(file, regions.metadata.0, &mut table, "the metadata")?;
        if !table.starts_with(b"metadata") {
            return Err(damaged("there are no metadata"));
        }
        let count = usize::from(get16(&table, 10).min(MAX_ITEMS));
        let place = |wanted: Guid| {
            let mut entries = table[32..].chunks_exact(32).take(count);
            let entry = entries.find(|entry| Guid::from_bytes(get(entry, 0)) == wanted)?;
            Some(regions.metadata.0 + u64::from(get32(entry, 16)))
        };
        let mut item = |wanted: Guid| {
            let at = place(wanted).ok_or(damaged("an item of the metadata is missing"))?;
            let mut value = [0; 8];
            read_at(file, at, &mut value, "the metadata")?;
            Ok::<_, VhdxError>((at, value))
        };
        let (_, parameters) = item(FILE_PARAMETERS)?;
        let (size_at, size) = item(DISK_SIZE)?;
        let (_, sector) = item(LOGICAL_SIZE)?;
        if get32(&parameters, 4) & HAS_PARENT != 0 {
            return Err(VhdxError::Unsupported { what: "a parent disk" });
        }
        let found = Self {
            block_size: get32(&parameters, 0).into(),
            sector_size: get32(&sector, 0).into(),
            size: u64::from_le_bytes(size),
            size_at,
        };
        if !found.block_size.is_power_of_two() || !(1 << 20..=256 << 20).contains(&found.block_size) {
            return Err(damaged("impossible block size"));
        }
        if !matches!(found.sector_size, 512 | 4096) || found.size > MAX_SIZE || found.size == 0 {
            return Err(damaged("impossible size"));
        }
        Ok(found)
    }
}

/// Payload blocks for which there is one entry for a bitmap in the table.
pub(super) fn chunk_ratio(block_size: u64, sector_size: u64) -> u64 {
    CHUNK_SECTORS * sector_size / block_size
}

/// Where the block of a table entry is; `None` if it reads as zeros.
pub(super) fn present(entry: u64) -> io::Result<Option<u64>> {
    const STATE: u64 = 7;
    const OFFSET: u64 = !0xf_ffff;
    match entry & STATE {
        6 => Ok(Some(entry & OFFSET)),
        // Not present, undefined, zero, unmapped.
        0..=3 => Ok(None),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a block is in a state that this disk cannot have",
        )),
    }
}

/// CRC-32C over a structure whose own sum, at byte 4, counts as zero.
pub(super) fn checksum_is_right(bytes: &[u8]) -> bool {
    let mut copy = bytes.to_vec();
    copy[4..8].fill(0);
    crc32c(&copy) == get32(bytes, 4)
}

pub(super) fn read_at<F: Read + Seek>(
    file: &mut F,
    at: u64,
    bytes: &mut [u8],
    part: &'static str,
) -> Result<(), VhdxError> {
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(bytes)).map_err(|source| {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => VhdxError::Truncated { part },
            _ => VhdxError::Read { part, source },
        }
    })
}
