//! Positions in disks that are no files of their own.
use std::io::{self, SeekFrom};

/// Where a seek leads in something of `length` bytes that stands at `position`; behind the end is fine, before the start
/// is not.
pub(crate) fn target(to: SeekFrom, position: u64, length: u64) -> io::Result<u64> {
    let target = match to {
        SeekFrom::Start(at) => Some(at),
        SeekFrom::End(by) => length.checked_add_signed(by),
        SeekFrom::Current(by) => position.checked_add_signed(by),
    };
    Ok(target.ok_or(io::ErrorKind::InvalidInput)?)
}
