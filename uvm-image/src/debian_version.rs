//! The order of Debian versions (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions as dpkg does: digits as numbers, `~` before everything, letters before other characters.
/// Epochs and revisions need no special care among versions of one package's file names.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (rank(a.first()), rank(b.first()));
            if x == 0 && y == 0 {
                break;
            }
            if x != y {
                return x.cmp(&y);
            }
            (a, b) = (&a[1..], &b[1..]);
        }
        let (x, rest_a) = number(a);
        let (y, rest_b) = number(b);
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// A non-digit's place; digits and the end share 0, the tilde sorts before them.
fn rank(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

/// The leading digits without leading zeros, and the rest.
fn number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    let start = bytes[..end].iter().position(|b| *b != b'0').unwrap_or(end);
    (&bytes[start..end], &bytes[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_dpkg_does() {
        for (older, newer) in [
            ("6.1.9-1", "6.1.10-1"),
            ("6.1.192-2", "6.12.3-1"),
            ("6.12.3-1~bpo12+1", "6.12.3-1"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+b"),
            ("1.0", "1.0.1"),
        ] {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater, "{newer} {older}");
        }
        assert_eq!(compare("6.01", "6.1"), Ordering::Equal);
    }
}
