//! Any archive: read, and made a layer.
#![no_main]
use std::io::Cursor;
use std::sync::LazyLock;

use lcow_disk::ext4::layer::{Options, Whiteouts, convert};
use lcow_fuzz::{archive, damaged};
use libfuzzer_sys::fuzz_target;

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(archive);

fuzz_target!(|input: &[u8]| {
    let (bytes, whiteouts) = match input.split_first() {
        Some((0..128, rest)) => (checksummed(damaged(&WHOLE, rest)), Whiteouts::Overlay),
        Some((_, rest)) => (checksummed(rest.to_vec()), Whiteouts::Apply),
        None => return,
    };
    let options = Options { whiteouts, max_size: 1 << 26, inline_data: true, ..Options::default() };
    let _ = convert(bytes.as_slice(), Cursor::new(Vec::new()), &options);
});

/// Right checksums, so that what is behind them is reached.
fn checksummed(mut bytes: Vec<u8>) -> Vec<u8> {
    for header in bytes
        .chunks_exact_mut(512)
        .filter(|header| header.starts_with(b"ustar") || header[257..].starts_with(b"ustar"))
    {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    bytes
}
