//! Numbers into byte arrays at fixed offsets.

/// Write `value` at `at`, little endian, as wide as its type.
pub(crate) fn put<const N: usize>(target: &mut [u8], at: usize, value: [u8; N]) {
    target[at..at + N].copy_from_slice(&value);
}

/// Write a 16-bit number at `at`, little endian.
pub(crate) fn put16(target: &mut [u8], at: usize, value: u16) {
    put(target, at, value.to_le_bytes());
}

/// Write a 32-bit number at `at`, little endian.
pub(crate) fn put32(target: &mut [u8], at: usize, value: u32) {
    put(target, at, value.to_le_bytes());
}

/// The low 16 bits.
pub(crate) fn low16(value: impl Into<u64>) -> u16 {
    (value.into() & 0xffff) as u16
}

/// The low 32 bits.
pub(crate) fn low32(value: impl Into<u64>) -> u32 {
    (value.into() & 0xffff_ffff) as u32
}

/// The 16-bit number at `at`, little endian.
pub(crate) fn get16(source: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(get(source, at))
}

/// The 32-bit number at `at`, little endian.
pub(crate) fn get32(source: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(source, at))
}

/// The 64-bit number at `at`, little endian.
pub(crate) fn get64(source: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(source, at))
}

/// The bytes at `at`, which must lie within `source`.
pub(crate) fn get<const N: usize>(source: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&source[at..at + N]);
    value
}
