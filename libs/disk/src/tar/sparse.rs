//! Maps of sparse files: the old GNU header form and the checks every form must pass (GNU tar manual, "Storing Sparse
//! Files").
use super::header::signed_number;
use super::{RECORD, Segment, TarError};

/// More runs than any sane file has; a bound on what a hostile header can make us keep.
pub(super) const MAX_SEGMENTS: usize = 1 << 20;

/// Append the map entries in `area`; `false` when a terminating one was met.
pub(super) fn read_gnu_entries(area: &[u8], at: u64, map: &mut Vec<Segment>) -> Result<bool, TarError> {
    for pair in area.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            return Ok(false);
        }
        let value = |field: &[u8]| signed_number(field).and_then(|n| u64::try_from(n).ok());
        let (Some(offset), Some(length)) = (value(&pair[..12]), value(&pair[12..])) else {
            return Err(TarError::field(at, "sparse map", "not a number in range"));
        };
        map.push(Segment { offset, length });
    }
    Ok(true)
}

/// Size of the whole file in an old GNU sparse header.
pub(super) fn gnu_real_size(header: &[u8; RECORD], at: u64) -> Result<u64, TarError> {
    signed_number(&header[483..495])
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| TarError::field(at, "real size", "not a number in range"))
}

/// Check that `map` is ascending, inside the file and exactly as long as the data that is stored, and drop empty runs.
pub(super) fn checked(map: Vec<Segment>, size: u64, stored: u64, at: u64) -> Result<Vec<Segment>, TarError> {
    let fault = |reason| Err(TarError::field(at, "sparse map", reason));
    let (mut end, mut total) = (0u64, 0u64);
    for run in &map {
        let Some(run_end) = run.offset.checked_add(run.length) else {
            return fault("runs past the largest file");
        };
        if run.offset < end {
            return fault("runs overlap");
        }
        end = run_end;
        total += run.length;
    }
    if end > size {
        return fault("runs past the end of the file");
    }
    if total != stored {
        return fault("does not match the data that follows");
    }
    Ok(map.into_iter().filter(|run| run.length > 0).collect())
}
