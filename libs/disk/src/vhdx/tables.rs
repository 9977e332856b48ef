//! The structures in front of the blocks ([MS-VHDX] sections 2.2 and 2.6).
use super::BLOCK_SIZE;
use super::crc::crc32c;
use crate::Guid;
use crate::bytes::{put, put16, put32};

const MIB: u64 = 1 << 20;
/// Where the regions lie; the first MiB holds the header section.
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
/// The block allocation table.
pub(super) const BAT_AT: u64 = 3 * MIB;
/// Header section and metadata region are as long as this.
const SECTION: usize = 1 << 20;

const KIB64: usize = 64 << 10;
const LOGICAL_SECTOR: u32 = 512;
const PHYSICAL_SECTOR: u32 = 4096;
/// Payload blocks for which one entry in the table is kept free for a sector bitmap.
const CHUNK_RATIO: u64 = (1 << 23) * LOGICAL_SECTOR as u64 / BLOCK_SIZE;

/// Identifiers as the specification prints them: two regions, five metadata items.
const BAT_REGION: Guid = Guid::new(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const METADATA_REGION: Guid = Guid::new(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const FILE_PARAMETERS: Guid = Guid::new(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const DISK_SIZE: Guid = Guid::new(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const DISK_ID: Guid = Guid::new(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746);
const LOGICAL_SIZE: Guid = Guid::new(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f);
const PHYSICAL_SIZE: Guid = Guid::new(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556);

/// Metadata flags: required to understand the file; about the disk rather than the file.
const REQUIRED: u32 = 4;
const OF_DISK: u32 = 2;

/// Entry of a payload block in the allocation table.
pub(super) fn bat_index(block: u64) -> u64 {
    block + block / CHUNK_RATIO
}

/// Bytes of the table for a disk of `size` bytes, whole MiB.
pub(super) fn bat_length(size: u64) -> u64 {
    let blocks = size.div_ceil(BLOCK_SIZE);
    (8 * (bat_index(blocks - 1) + 1)).next_multiple_of(MIB)
}

/// An entry for a block that is there, at `offset` of the file, a multiple of 1 MiB.
pub(super) fn bat_entry(offset: u64) -> u64 {
    const FULLY_PRESENT: u64 = 6;
    offset | FULLY_PRESENT
}

/// The first MiB: identifier, two headers, two region tables.
pub(super) fn header_section(size: u64, id: [u8; 16]) -> Vec<u8> {
    let mut section = vec![0; SECTION];
    section[..8].copy_from_slice(b"vhdxfile");
    for (at, unit) in "lcow".encode_utf16().enumerate() {
        put16(&mut section, 8 + 2 * at, unit);
    }
    for copy in 0..2 {
        let at = KIB64 * (1 + copy);
        // The copy with the larger number counts.
        section[at..at + 4096].copy_from_slice(&header(1 + copy as u64, id));
        let at = KIB64 * (3 + copy);
        section[at..at + KIB64].copy_from_slice(&regions(size));
    }
    section
}

fn header(sequence: u64, id: [u8; 16]) -> [u8; 4096] {
    let mut header = [0; 4096];
    put(&mut header, 0, *b"head");
    put(&mut header, 8, sequence.to_le_bytes());
    put(&mut header, 16, id);
    put(&mut header, 32, id);
    // The log's identifier stays zero: it is empty. Log version 0, file version 1.
    put16(&mut header, 66, 1);
    put32(&mut header, 68, 1 << 20);
    put(&mut header, 72, LOG_AT.to_le_bytes());
    let sum = crc32c(&header);
    put32(&mut header, 4, sum);
    header
}

fn regions(size: u64) -> Vec<u8> {
    let mut table = vec![0; KIB64];
    put(&mut table, 0, *b"regi");
    put32(&mut table, 8, 2);
    let entries = [(BAT_REGION, BAT_AT, bat_length(size)), (METADATA_REGION, METADATA_AT, MIB)];
    for (slot, (guid, offset, length)) in entries.iter().enumerate() {
        let at = 16 + 32 * slot;
        put(&mut table, at, guid.bytes());
        put(&mut table, at + 16, offset.to_le_bytes());
        put32(&mut table, at + 24, crate::bytes::low32(*length));
        put32(&mut table, at + 28, 1);
    }
    let sum = crc32c(&table);
    put32(&mut table, 4, sum);
    table
}

/// The metadata region, and where it goes.
pub(super) fn metadata(size: u64, id: [u8; 16]) -> (u64, Vec<u8>) {
    let block_size = crate::bytes::low32(BLOCK_SIZE).to_le_bytes();
    let items: [(Guid, Vec<u8>, u32); 5] = [
        (FILE_PARAMETERS, [block_size, [0; 4]].concat(), REQUIRED),
        (DISK_SIZE, size.to_le_bytes().to_vec(), REQUIRED | OF_DISK),
        (DISK_ID, id.to_vec(), REQUIRED | OF_DISK),
        (LOGICAL_SIZE, LOGICAL_SECTOR.to_le_bytes().to_vec(), REQUIRED | OF_DISK),
        (PHYSICAL_SIZE, PHYSICAL_SECTOR.to_le_bytes().to_vec(), REQUIRED | OF_DISK),
    ];
    let mut region = vec![0; SECTION];
    put(&mut region, 0, *b"metadata");
    put16(&mut region, 10, 5);
    let mut value_at = 64u32 << 10;
    for (slot, (guid, value, flags)) in items.iter().enumerate() {
        let at = 32 + 32 * slot;
        put(&mut region, at, guid.bytes());
        put32(&mut region, at + 16, value_at);
        put32(&mut region, at + 20, crate::bytes::low32(value.len() as u64));
        put32(&mut region, at + 24, *flags);
        region[value_at as usize..][..value.len()].copy_from_slice(value);
        value_at += crate::bytes::low32(value.len() as u64);
    }
    (METADATA_AT, region)
}
