//! Space of the destination, asked for before it is written to.
//!
//! Page after page a file system looks for room, unless it has been told how much will come: then writing takes a third
//! less time. What was asked for in vain goes back when the file gets its final length.
use std::fs::File;
use std::io;
use std::ops::Range;

/// Asks for space for bytes `Range` of a destination; its length stays as it is.
pub(super) type Reserve<W> = fn(&W, Range<u64>) -> io::Result<()>;

/// The most that is asked for at a time.
const MOST: u64 = 64 << 20;

/// How far the space of a destination has been asked for.
pub(super) struct Reserved<W> {
    /// Absent where nobody can be asked, and once the answer was no: whoever writes then learns what is wrong.
    reserve: Option<Reserve<W>>,
    end: u64,
}

impl<W> Reserved<W> {
    pub(super) fn new(reserve: Option<Reserve<W>>) -> Self {
        Self { reserve, end: 0 }
    }

    /// Sees to it that there is space up to byte `end`. It doubles what there is, up to a limit: a small disk must not
    /// claim much more than it needs.
    pub(super) fn up_to(&mut self, end: u64, out: &W) {
        let Some(reserve) = self.reserve.filter(|_| end > self.end) else { return };
        let until = end + end.min(MOST);
        if reserve(out, self.end..until).is_err() {
            self.reserve = None;
        }
        self.end = until;
    }
}

/// [`Reserve`] of a file.
#[cfg(target_os = "linux")]
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "destinations are lent, and this one is a reference itself"
)]
pub(super) fn in_file(file: &&File, range: Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    Ok(fallocate(file, FallocateFlags::KEEP_SIZE, range.start, range.end - range.start)?)
}

/// [`Reserve`] of a file: elsewhere the system has no such call.
#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "destinations are lent, and this one is a reference itself"
)]
pub(super) fn in_file(_: &&File, _: Range<u64>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
