//! The log ([MS-VHDX] section 2.3): changes to the tables that a machine which did not stop properly may not have made yet.
//!
//! It is a ring of sectors of 4 KiB with entries of consecutive numbers. Of the sequence with the largest numbers those
//! entries count that the last one says are still needed.
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};

use super::VhdxError;
use super::header::Header;
use super::parse::{checksum_is_right, read_at};
use super::resize::write_at;
use crate::Guid;
use crate::bytes::{get, get32, get64};
use crate::overlay::Changes;

const SECTOR: usize = 4096;
const ENTRY_HEADER: usize = 64;
const DESCRIPTOR: usize = 32;
/// Windows makes logs of 1 MiB.
const MAX_LENGTH: u64 = 64 << 20;
/// In front of everything that a log may change: the headers.
const FIRST: u64 = 1 << 20;

/// What is still to be done to a file.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) changes: Changes,
    /// Length that the file has afterwards, at least.
    pub(super) length: u64,
}

/// An entry of the log that is whole.
#[derive(Debug)]
struct Entry {
    at: u64,
    length: u64,
    /// Where the oldest entry begins that was still needed when this one was written.
    tail: u64,
    sequence: u64,
    /// Length that the file had.
    flushed: u64,
    /// Length that it has after the replay.
    last: u64,
    changes: Vec<Change>,
}

/// One change of an entry.
#[derive(Debug)]
enum Change {
    Data { at: u64, bytes: Vec<u8> },
    Zero { at: u64, end: u64 },
}

impl Replay {
    /// Reads what the log asks for; nothing if the file was closed properly.
    pub(super) fn read<F: Read + Seek>(file: &mut F, header: &Header) -> Result<Self, VhdxError> {
        let fault = |source| VhdxError::Read { part: "the end", source };
        let length = file.seek(SeekFrom::End(0)).map_err(fault)?;
        if header.log().is_nil() {
            return Ok(Self { length, ..Self::default() });
        }
        let ring = ring(file, header, length)?;
        let entries = entries(&ring, header.log());
        let active = active(&entries, ring.len() as u64);
        let Some(newest) = active.last() else {
            return Err(VhdxError::Damaged { reason: "its log has no sequence that is whole" });
        };
        if length < newest.flushed {
            return Err(VhdxError::Damaged { reason: "it is shorter than its log says" });
        }
        let mut replay = Self { length: length.max(newest.last), ..Self::default() };
        for change in active.iter().flat_map(|entry| &entry.changes) {
            match change {
                Change::Data { at, bytes } => replay.changes.write(*at, bytes.clone()),
                Change::Zero { at, end } => replay.changes.zero(*at, *end),
            }
        }
        Ok(replay)
    }

    /// Does what the log asks for, and then says that it is done.
    pub(super) fn write<F: Read + Write + Seek>(
        &self,
        file: &mut F,
        header: &Header,
    ) -> Result<(), VhdxError> {
        const PART: &str = "what the log asks for";
        let fault = |source| VhdxError::Write { part: PART, source };
        let zeros = [0; SECTOR];
        let length = file.seek(SeekFrom::End(0)).map_err(fault)?;
        for (at, piece) in self.changes.pieces() {
            match &piece.data {
                Some(data) => write_at(file, at, data, PART)?,
                // What is behind the end is zero as soon as it is there.
                None => {
                    for at in (at..piece.end.min(length)).step_by(SECTOR) {
                        write_at(file, at, &zeros, PART)?;
                    }
                }
            }
        }
        if length < self.length && file.seek(SeekFrom::End(0)).map_err(fault)? < self.length {
            write_at(file, self.length - 1, &[0], PART)?;
        }
        file.flush().map_err(fault)?;
        header.close_log(file)
    }
}

/// The log as it is in the file.
fn ring<F: Read + Seek>(file: &mut F, header: &Header, length: u64) -> Result<Vec<u8>, VhdxError> {
    if header.log_version() != 0 {
        return Err(VhdxError::Unsupported { what: "a log of a later version" });
    }
    let (at, size) = header.log_place();
    let sectors = size >= SECTOR as u64 && size.is_multiple_of(SECTOR as u64);
    if !sectors || at < FIRST || at.checked_add(size).is_none_or(|end| end > length) {
        return Err(VhdxError::Damaged { reason: "its log is not where it should be" });
    }
    if size > MAX_LENGTH {
        return Err(VhdxError::Unsupported { what: "a log of more than 64 MiB" });
    }
    let mut ring = vec![0; usize::try_from(size).unwrap_or_default()];
    read_at(file, at, &mut ring, "the log")?;
    Ok(ring)
}

/// All entries that are whole, by their place.
fn entries(ring: &[u8], log: Guid) -> BTreeMap<u64, Entry> {
    let places = (0..ring.len()).step_by(SECTOR);
    places.filter_map(|at| Some((at as u64, entry(ring, at, log)?))).collect()
}

/// The entry at `at`, if one begins there and is whole.
fn entry(ring: &[u8], at: usize, log: Guid) -> Option<Entry> {
    let head = &ring[at..at + SECTOR];
    let length = get32(head, 8) as usize;
    let (sequence, count) = (get64(head, 16), get32(head, 24) as usize);
    let known = head.starts_with(b"loge") && Guid::from_bytes(get(head, 32)) == log && sequence > 0;
    if !known || length < SECTOR || length > ring.len() || !length.is_multiple_of(SECTOR) {
        return None;
    }
    let sector = |number: usize| {
        let at = (at + number * SECTOR) % ring.len();
        &ring[at..at + SECTOR]
    };
    let first_data = count.checked_mul(DESCRIPTOR)?.checked_add(ENTRY_HEADER)?.div_ceil(SECTOR);
    let mut next_data = first_data;
    let mut changes = Vec::new();
    for number in 0..count {
        let at = ENTRY_HEADER + number * DESCRIPTOR;
        if (first_data.max(next_data)) * SECTOR > length {
            return None;
        }
        let descriptor = &sector(at / SECTOR)[at % SECTOR..][..DESCRIPTOR];
        let is_data = descriptor.starts_with(b"desc");
        let data = is_data && next_data * SECTOR < length;
        let change = change(descriptor, sequence, data.then(|| sector(next_data)))?;
        next_data += usize::from(is_data);
        changes.push(change);
    }
    // The sum last: it takes longest, and what is no entry is found out before.
    let bytes: Vec<u8> = (0..length / SECTOR).flat_map(sector).copied().collect();
    let whole = next_data * SECTOR == length && checksum_is_right(&bytes);
    whole.then(|| Entry {
        at: at as u64,
        length: length as u64,
        tail: get32(head, 12).into(),
        sequence,
        flushed: get64(head, 48),
        last: get64(head, 56),
        changes,
    })
}

/// What a descriptor asks for, with its sector of data.
fn change(descriptor: &[u8], sequence: u64, data: Option<&[u8]>) -> Option<Change> {
    let at = get64(descriptor, 16);
    let whole = |number: u64| number.is_multiple_of(SECTOR as u64);
    if get64(descriptor, 24) != sequence || !whole(at) || at < FIRST {
        return None;
    }
    if descriptor.starts_with(b"zero") {
        let length = get64(descriptor, 8);
        let end = at.checked_add(length).filter(|end| whole(length) && *end < 1 << 62)?;
        return Some(Change::Zero { at, end });
    }
    let data = data.filter(|data| data.starts_with(b"data"))?;
    let number = u64::from(get32(data, 4)) << 32 | u64::from(get32(data, SECTOR - 4));
    // The first and last bytes make room for what tells that the sector is whole.
    let bytes = [&descriptor[8..16], &data[8..SECTOR - 4], &descriptor[4..8]].concat();
    (number == sequence && at < 1 << 62).then_some(Change::Data { at, bytes })
}

/// The entries to be replayed, oldest first; none if no sequence has all that its last entry needs.
fn active(entries: &BTreeMap<u64, Entry>, ring: u64) -> Vec<&Entry> {
    let follower = |entry: &Entry| {
        let next = entries.get(&((entry.at + entry.length) % ring))?;
        (next.sequence == entry.sequence + 1).then_some(next)
    };
    let followers: Vec<u64> = entries.values().filter_map(follower).map(|entry| entry.at).collect();
    let mut best: Vec<&Entry> = Vec::new();
    for first in entries.values().filter(|entry| followers.binary_search(&entry.at).is_err()) {
        let mut chain: Vec<&Entry> = std::iter::successors(Some(first), |entry| follower(entry)).collect();
        let Some(&last) = chain.last() else { continue };
        let Some(tail) = chain.iter().position(|entry| entry.at == last.tail) else { continue };
        if best.last().is_none_or(|best| last.sequence > best.sequence) {
            best = chain.split_off(tail);
        }
    }
    best
}
