//! A whole table: planned, written and read.
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use super::header::{ENTRY_SIZE, Header, encode_entry, parse_entry, protective_mbr};
use super::{ALIGNMENT, GptError, MAX_PARTITIONS, Partition, SECTOR};
use crate::Guid;

/// Entries that every table has at least (UEFI 5.3.1: 16 KiB are set aside).
const MIN_ENTRIES: usize = 128;
/// Most entries that are read.
const MAX_ENTRIES: u32 = 16 * 1024;

/// A partition to be made.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What it is for.
    pub kind: Guid,
    /// Name, cut off after 36 UTF-16 units.
    pub name: &'a str,
    /// Smallest length in bytes; rounded up to sectors.
    pub bytes: u64,
    /// Tells its content from others, such as a digest: the identifier is derived from it.
    pub identity: &'a [u8],
}

/// The partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Identity of the disk.
    pub id: Guid,
    /// Size of the disk in sectors.
    pub sectors: u64,
    /// The partitions, in the order of their numbers.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Place the partitions one behind the other on a disk that is just large enough, in whole MiB.
    pub fn plan(wanted: &[Wanted<'_>]) -> Result<Self, GptError> {
        if wanted.len() > MAX_PARTITIONS {
            return Err(GptError::TooMany { count: wanted.len() });
        }
        let mut next = (2 + entry_sectors(wanted.len())) * SECTOR;
        let mut partitions = Vec::with_capacity(wanted.len());
        let mut whole = Sha256::new().chain_update(b"lcow disk");
        for (at, part) in wanted.iter().enumerate() {
            let fault = |reason| GptError::Partition { number: at + 1, reason };
            if part.bytes == 0 || part.bytes > 1 << 60 {
                return Err(fault("has an impossible length"));
            }
            let start = next.next_multiple_of(ALIGNMENT);
            next = start.checked_add(part.bytes.next_multiple_of(SECTOR)).ok_or(fault("is too long"))?;
            let id: [u8; 32] = Sha256::new()
                .chain_update(b"lcow partition")
                .chain_update((at as u64).to_le_bytes())
                .chain_update(part.identity)
                .finalize()
                .into();
            whole.update(id);
            whole.update(part.bytes.to_le_bytes());
            partitions.push(Partition {
                kind: part.kind,
                id: Guid::from_digest(&id),
                first: start / SECTOR,
                last: next / SECTOR - 1,
                attributes: 0,
                name: cut(part.name),
            });
        }
        let end = next + (1 + entry_sectors(wanted.len())) * SECTOR;
        let sectors = end.next_multiple_of(ALIGNMENT) / SECTOR;
        Ok(Self { id: Guid::from_digest(&whole.finalize().into()), sectors, partitions })
    }

    /// Size of the disk in bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.sectors * SECTOR
    }

    /// Write MBR and both copies of the table; the partitions are not touched.
    pub fn write<W: Write + Seek>(&self, disk: &mut W) -> Result<(), GptError> {
        let mut entries: Vec<u8> = self.partitions.iter().flat_map(encode_entry).collect();
        let entry_sectors = entry_sectors(self.partitions.len());
        entries.resize((entry_sectors * SECTOR) as usize, 0);
        let last = self.sectors - 1;
        let first = Header {
            this: 1,
            other: last,
            first_usable: 2 + entry_sectors,
            last_usable: last - entry_sectors - 1,
            disk: self.id,
            entries_at: 2,
            entries: (entries.len() / ENTRY_SIZE) as u32,
            entries_crc: crc32fast::hash(&entries),
        };
        let second = Header { this: last, other: 1, entries_at: last - entry_sectors, ..first };
        let parts: [(u64, &[u8]); 5] = [
            (0, &protective_mbr(self.sectors)),
            (1, &first.encode()),
            (first.entries_at, &entries),
            (second.entries_at, &entries),
            (last, &second.encode()),
        ];
        let mut write = || {
            for (sector, bytes) in parts {
                disk.seek(SeekFrom::Start(sector * SECTOR))?;
                disk.write_all(bytes)?;
            }
            disk.flush()
        };
        write().map_err(|source| GptError::Io { action: "writing", source })
    }

    /// The table of a disk; where the first copy is damaged, the one at the end.
    pub fn read<R: Read + Seek>(disk: &mut R) -> Result<Self, GptError> {
        let fault = |source| GptError::Io { action: "reading", source };
        let sectors = disk.seek(SeekFrom::End(0)).map_err(fault)? / SECTOR;
        if sectors < 3 {
            return Err(GptError::Missing { reason: "the disk is too small" });
        }
        match read_copy(disk, 1, sectors) {
            Err(GptError::Missing { reason }) => {
                read_copy(disk, sectors - 1, sectors).map_err(|_| GptError::Missing { reason })
            }
            read => read,
        }
    }
}

fn read_copy<R: Read + Seek>(disk: &mut R, at: u64, sectors: u64) -> Result<Table, GptError> {
    let fault = |source| GptError::Io { action: "reading", source };
    let missing = |reason| GptError::Missing { reason };
    let mut bytes = [0; SECTOR as usize];
    read_at(disk, at, &mut bytes).map_err(fault)?;
    let header = Header::parse(&bytes, at).map_err(missing)?;
    if header.entries > MAX_ENTRIES || header.last_usable >= sectors {
        return Err(missing("the header does not fit the disk"));
    }
    let mut entries = vec![0; header.entries as usize * ENTRY_SIZE];
    if header.entries_at.saturating_add(entries.len() as u64 / SECTOR) > sectors {
        return Err(missing("the entries lie outside the disk"));
    }
    read_at(disk, header.entries_at, &mut entries).map_err(fault)?;
    if crc32fast::hash(&entries) != header.entries_crc {
        return Err(missing("the entries have a wrong checksum"));
    }
    let mut partitions = Vec::new();
    for (slot, entry) in entries.chunks_exact(ENTRY_SIZE).enumerate() {
        partitions.extend(parse_entry(entry, slot + 1, &header)?);
    }
    Ok(Table { id: header.disk, sectors, partitions })
}

fn read_at<R: Read + Seek>(disk: &mut R, sector: u64, bytes: &mut [u8]) -> io::Result<()> {
    disk.seek(SeekFrom::Start(sector * SECTOR))?;
    disk.read_exact(bytes)
}

/// Sectors that the entries of `count` partitions fill.
fn entry_sectors(count: usize) -> u64 {
    (count.max(MIN_ENTRIES) * ENTRY_SIZE).next_multiple_of(SECTOR as usize) as u64 / SECTOR
}

fn cut(name: &str) -> String {
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units <= 36
    };
    name.chars().take_while(fits).collect()
}
