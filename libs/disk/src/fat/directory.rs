//! Directory entries, short and long.
use super::names::Name;
use crate::bytes::{low16, put16, put32};

const ENTRY: usize = 32;
/// UTF-16 units in an entry of a long name, and where they stand.
const UNITS: usize = 13;
const UNIT_AT: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// 1980-01-01.
const DATE: u16 = 0x21;
/// Room for `.` and `..`, or for the label of the root.
pub(super) const OWN_BYTES: u64 = 2 * ENTRY as u64;

const VOLUME: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const LONG: u8 = 0x0f;

/// Bytes of all entries for one name.
pub(super) fn entry_bytes(name: &Name) -> u64 {
    let long = if name.is_short { 0 } else { name.long.encode_utf16().count().div_ceil(UNITS) };
    ((1 + long) * ENTRY) as u64
}

/// Where a directory entry leads.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Directory { cluster: u32 },
    File { cluster: u32, size: u32 },
}

/// Append the entries for `name`.
pub(super) fn push(bytes: &mut Vec<u8>, name: &Name, target: Target) {
    if !name.is_short {
        push_long(bytes, name);
    }
    let (attributes, cluster, size) = match target {
        Target::Directory { cluster } => (DIRECTORY, cluster, 0),
        Target::File { cluster, size } => (ARCHIVE, cluster, size),
    };
    push_short(bytes, &name.short, attributes, cluster, size);
}

/// Append `.` and `..` of a directory.
pub(super) fn push_dots(bytes: &mut Vec<u8>, own: u32, parent: u32) {
    push_short(bytes, b".          ", DIRECTORY, own, 0);
    push_short(bytes, b"..         ", DIRECTORY, parent, 0);
}

/// Append the label of the volume.
pub(super) fn push_label(bytes: &mut Vec<u8>, label: &[u8; 11]) {
    push_short(bytes, label, VOLUME, 0, 0);
}

fn push_short(bytes: &mut Vec<u8>, name: &[u8; 11], attributes: u8, cluster: u32, size: u32) {
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    for date in [16, 18, 24] {
        put16(&mut entry, date, DATE);
    }
    put16(&mut entry, 20, low16(cluster >> 16));
    put16(&mut entry, 26, low16(cluster));
    put32(&mut entry, 28, size);
    bytes.extend_from_slice(&entry);
}

/// The parts of a long name, the last one first.
fn push_long(bytes: &mut Vec<u8>, name: &Name) {
    let mut units: Vec<u16> = name.long.encode_utf16().collect();
    let count = units.len().div_ceil(UNITS);
    if units.len() < count * UNITS {
        units.push(0);
        units.resize(count * UNITS, 0xffff);
    }
    for (at, part) in units.chunks(UNITS).enumerate().rev() {
        let mut entry = [0; ENTRY];
        let last = if at + 1 == count { 0x40 } else { 0 };
        entry[0] = last | (at + 1) as u8;
        entry[11] = LONG;
        entry[13] = name.checksum();
        for (&unit, place) in part.iter().zip(UNIT_AT) {
            put16(&mut entry, place, unit);
        }
        bytes.extend_from_slice(&entry);
    }
}
