//! The two headers, the entries and the protective MBR in bytes.
use super::{GptError, Partition, SECTOR};
use crate::Guid;
use crate::bytes::{get, get16, get32, get64, put, put16, put32};

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_SIZE: usize = 92;
pub(super) const ENTRY_SIZE: usize = 128;
const NAME_UNITS: usize = 36;

/// What a header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) this: u64,
    pub(super) other: u64,
    pub(super) first_usable: u64,
    pub(super) last_usable: u64,
    pub(super) disk: Guid,
    pub(super) entries_at: u64,
    pub(super) entries: u32,
    pub(super) entries_crc: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; SECTOR as usize] {
        let mut bytes = [0; SECTOR as usize];
        let b = &mut bytes[..];
        put(b, 0, *SIGNATURE);
        put32(b, 8, REVISION);
        put32(b, 12, HEADER_SIZE as u32);
        put(b, 24, self.this.to_le_bytes());
        put(b, 32, self.other.to_le_bytes());
        put(b, 40, self.first_usable.to_le_bytes());
        put(b, 48, self.last_usable.to_le_bytes());
        put(b, 56, self.disk.bytes());
        put(b, 72, self.entries_at.to_le_bytes());
        put32(b, 80, self.entries);
        put32(b, 84, ENTRY_SIZE as u32);
        put32(b, 88, self.entries_crc);
        let crc = crc32fast::hash(&b[..HEADER_SIZE]);
        put32(b, 16, crc);
        bytes
    }

    /// A header read from sector `at`, or what is wrong with it.
    pub(super) fn parse(bytes: &[u8; SECTOR as usize], at: u64) -> Result<Self, &'static str> {
        if !bytes.starts_with(SIGNATURE) {
            return Err("the header does not start with \"EFI PART\"");
        }
        let size = get32(bytes, 12) as usize;
        if !(HEADER_SIZE..=bytes.len()).contains(&size) {
            return Err("the header has an impossible size");
        }
        let mut zeroed = *bytes;
        put32(&mut zeroed, 16, 0);
        if crc32fast::hash(&zeroed[..size]) != get32(bytes, 16) {
            return Err("the header has a wrong checksum");
        }
        if get64(bytes, 24) != at {
            return Err("the header belongs to another sector");
        }
        if get32(bytes, 84) as usize != ENTRY_SIZE {
            return Err("entries do not have 128 bytes");
        }
        Ok(Self {
            this: at,
            other: get64(bytes, 32),
            first_usable: get64(bytes, 40),
            last_usable: get64(bytes, 48),
            disk: Guid::from_bytes(get(bytes, 56)),
            entries_at: get64(bytes, 72),
            entries: get32(bytes, 80),
            entries_crc: get32(bytes, 88),
        })
    }
}

pub(super) fn encode_entry(partition: &Partition) -> [u8; ENTRY_SIZE] {
    let mut entry = [0; ENTRY_SIZE];
    put(&mut entry, 0, partition.kind.bytes());
    put(&mut entry, 16, partition.id.bytes());
    put(&mut entry, 32, partition.first.to_le_bytes());
    put(&mut entry, 40, partition.last.to_le_bytes());
    put(&mut entry, 48, partition.attributes.to_le_bytes());
    for (at, unit) in partition.name.encode_utf16().take(NAME_UNITS).enumerate() {
        put16(&mut entry, 56 + 2 * at, unit);
    }
    entry
}

/// The partition of an entry; `None` for one that is not used.
pub(super) fn parse_entry(
    entry: &[u8],
    number: usize,
    header: &Header,
) -> Result<Option<Partition>, GptError> {
    let kind = Guid::from_bytes(get(entry, 0));
    if kind.is_nil() {
        return Ok(None);
    }
    let (first, last) = (get64(entry, 32), get64(entry, 40));
    if first > last || first < header.first_usable || last > header.last_usable {
        return Err(GptError::Partition { number, reason: "lies outside the disk" });
    }
    let units: Vec<u16> = (0..NAME_UNITS).map(|at| get16(entry, 56 + 2 * at)).collect();
    let name = String::from_utf16_lossy(units.split(|&unit| unit == 0).next().unwrap_or_default());
    let id = Guid::from_bytes(get(entry, 16));
    Ok(Some(Partition { kind, id, first, last, attributes: get64(entry, 48), name }))
}

/// The MBR that keeps old tools from seeing an empty disk.
pub(super) fn protective_mbr(sectors: u64) -> [u8; SECTOR as usize] {
    let mut mbr = [0; SECTOR as usize];
    let covered = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    // From cylinder 0, head 0, sector 2 to the largest address there is; type 0xee.
    mbr[446..454].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    put32(&mut mbr, 454, 1);
    put32(&mut mbr, 458, covered);
    put16(&mut mbr, 510, 0xaa55);
    mbr
}
