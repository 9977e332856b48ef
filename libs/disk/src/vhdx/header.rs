//! The two headers ([MS-VHDX] section 2.2.2): the one with the larger number counts.
use std::io::{Read, Seek, Write};

use super::VhdxError;
use super::parse::{checksum_is_right, read_at};
use super::resize::write_at;
use super::tables::{self, KIB64};
use crate::Guid;
use crate::bytes::{get, get16, get32, get64, put};

const PLACES: [u64; 2] = [KIB64 as u64, 2 * KIB64 as u64];
const SIZE: usize = 4096;

/// The header that counts.
#[derive(Debug)]
pub(super) struct Header {
    /// Which of the two it is.
    slot: usize,
    bytes: [u8; SIZE],
}

impl Header {
    pub(super) fn read<F: Read + Seek>(file: &mut F) -> Result<Self, VhdxError> {
        let mut newest: Option<Self> = None;
        for (slot, at) in PLACES.into_iter().enumerate() {
            let mut found = Self { slot, bytes: [0; SIZE] };
            read_at(file, at, &mut found.bytes, "the header")?;
            let is_newer = newest.as_ref().is_none_or(|known| found.sequence() > known.sequence());
            if found.bytes.starts_with(b"head") && checksum_is_right(&found.bytes) && is_newer {
                newest = Some(found);
            }
        }
        newest.ok_or(VhdxError::Damaged { reason: "both headers are damaged" })
    }

    fn sequence(&self) -> u64 {
        get64(&self.bytes, 8)
    }

    /// What the entries of its log are marked with; nil if there is nothing to be replayed.
    pub(super) fn log(&self) -> Guid {
        Guid::from_bytes(get(&self.bytes, 48))
    }

    pub(super) fn log_version(&self) -> u16 {
        get16(&self.bytes, 64)
    }

    /// First byte and length of the log.
    pub(super) fn log_place(&self) -> (u64, u64) {
        (get64(&self.bytes, 72), get32(&self.bytes, 68).into())
    }

    /// Says that nothing has to be replayed any more: in the other header, which counts once it is whole.
    pub(super) fn close_log<F: Write + Seek>(&self, file: &mut F) -> Result<(), VhdxError> {
        const PART: &str = "the header";
        let mut bytes = self.bytes;
        put(&mut bytes, 8, (self.sequence().wrapping_add(1)).to_le_bytes());
        put(&mut bytes, 48, [0; 16]);
        tables::seal(&mut bytes);
        write_at(file, PLACES[1 - self.slot], &bytes, PART)?;
        file.flush().map_err(|source| VhdxError::Write { part: PART, source })
    }
}
