//! Archives that are not what they claim: errors with a reason, never a panic, never a silent half.
mod support;

use lcow_disk::ext4::layer::LayerError;
use lcow_disk::tar::TarError;
use support::{Tar, image};

fn sample() -> Vec<u8> {
    let mut tar = Tar::new();
    tar.xattr("user.a", b"1").file("a", &[1; 700]).symlink("l", &"x/".repeat(200)).dir("d").finish()
}

#[test]
fn every_truncation_is_noticed() {
    let whole = sample();
    assert!(image(&whole).is_ok());
    // The last record of the end marker is the only part that may be missing.
    for length in (0..whole.len() - 1024).step_by(16) {
        let error = image(&whole[..length]).unwrap_err();
        assert!(matches!(error, LayerError::Tar(TarError::Truncated { .. })), "{length}: {error}");
    }
    assert!(image(&whole[..whole.len() - 512]).is_ok());
}

#[test]
fn a_flipped_bit_in_a_header_is_noticed() {
    let whole = Tar::new().file("a", b"").finish();
    for at in (0..512).filter(|at| !(148..156).contains(at)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(image(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    use proptest::prelude::*;
    let whole = sample();
    let damage = proptest::collection::vec((0..whole.len(), any::<u8>()), 1..8);
    proptest!(ProptestConfig::with_cases(300), |(damage in damage)| {
        let mut bytes = whole.clone();
        for (at, value) in damage {
            bytes[at] = value;
            // A right checksum, so that the damage gets past the first door.
            let start = at / 512 * 512;
            let mut header: [u8; 512] = bytes[start..start + 512].try_into().unwrap();
            if header[257..262] == *b"ustar" {
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
                header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
                bytes[start..start + 512].copy_from_slice(&header);
            }
        }
        let _ = image(&bytes);
    });
}

#[test]
fn nonsense_has_a_reason() {
    let mut tar = Tar::new();
    let refuse = |tar: &mut Tar, what: &str| {
        let error = image(&tar.finish()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        *tar = Tar::new();
    };
    tar.entry("m", b'M', 0o644, "", b"").file("x", b"");
    refuse(&mut tar, "'M'");
    tar.pax("size", b"huge").file("a", b"");
    refuse(&mut tar, "size");
    tar.pax("GNU.sparse.map", b"0,10,5,10").pax("GNU.sparse.size", b"20").file("a", &[0; 20]);
    refuse(&mut tar, "overlap");
    tar.pax("GNU.sparse.map", b"0,10").pax("GNU.sparse.size", b"5").file("a", &[0; 10]);
    refuse(&mut tar, "past the end");
    tar.pax("GNU.sparse.map", b"18446744073709551615,10").pax("GNU.sparse.size", b"5").file("a", &[0; 10]);
    refuse(&mut tar, "largest");
    tar.xattr("user.big", &[0; 5000]).file("a", b"");
    refuse(&mut tar, "\"a\"");
    tar.xattr("system.posix_acl_access", b"junk").file("a", b"");
    refuse(&mut tar, "access control list");
    tar.symlink("a", "");
    refuse(&mut tar, "link target");
    tar.file(&"n".repeat(256), b"");
    refuse(&mut tar, "255 bytes");
    tar.file(".", b"");
    refuse(&mut tar, "root");
    let large = tar.header("p", b'x', 0o644, "", 1 << 21, (0, 0));
    tar.raw(large, &[]);
    refuse(&mut tar, "1 MiB");
}
