//! Block and inode bitmaps of one group (kernel `Documentation/filesystems/ext4/bitmaps.rst`).
use super::layout::BLOCK_SIZE;

/// One block of bits; bit n is bit n % 8 of byte n / 8.
#[derive(Clone)]
pub(super) struct Bitmap(Box<[u8; BLOCK_SIZE]>);

impl Bitmap {
    /// All free.
    pub(super) fn new() -> Self {
        Self(Box::new([0; BLOCK_SIZE]))
    }

    /// As it is on disk.
    pub(super) fn from_bytes(bytes: &[u8; BLOCK_SIZE]) -> Self {
        Self(Box::new(*bytes))
    }

    /// Mark `start..end` used.
    pub(super) fn set(&mut self, start: u32, end: u32) {
        self.assign(start, end, true);
    }

    /// Mark `start..end` free.
    pub(super) fn clear(&mut self, start: u32, end: u32) {
        self.assign(start, end, false);
    }

    /// Bits not set among the first `count`.
    pub(super) fn free(&self, count: u32) -> u32 {
        let whole = count / 8;
        let used: u32 = self.0[..whole as usize].iter().map(|byte| byte.count_ones()).sum();
        let rest = (whole * 8..count).filter(|&n| self.0[n as usize / 8] >> (n % 8) & 1 == 1).count();
        count - used - rest as u32
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[..]
    }

    fn assign(&mut self, start: u32, end: u32, used: bool) {
        let mut n = start;
        while n < end {
            let byte = &mut self.0[n as usize / 8];
            if n.is_multiple_of(8) && end - n >= 8 {
                *byte = if used { 0xff } else { 0 };
                n += 8;
            } else {
                let bit = 1 << (n % 8);
                *byte = if used { *byte | bit } else { *byte & !bit };
                n += 1;
            }
        }
    }
}

/// Mark in `bitmap`, of the group whose first bit is number `base` and which has `length` bits, the part of
/// `start..end` that lies in it.
pub(super) fn clip(base: u64, length: u32, start: u64, end: u64) -> Option<(u32, u32)> {
    let from = start.max(base);
    let to = end.min(base + u64::from(length));
    (from < to).then(|| ((from - base) as u32, (to - base) as u32))
}
