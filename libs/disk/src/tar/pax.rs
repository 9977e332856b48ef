//! PAX extended header records (POSIX.1-2001 `pax`, "pax Extended Header").
use super::{Segment, TarError, Timestamp};

/// What extended headers say about the next entry, or about all that follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) atime: Option<Timestamp>,
    pub(super) ctime: Option<Timestamp>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// The `GNU.sparse.*` records.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    /// Version 1.0: the map stands at the start of the data.
    pub(super) map_in_data: bool,
    /// Size of the file with its holes.
    pub(super) real_size: Option<u64>,
    /// Name of the file; the header then has an invented one.
    pub(super) name: Option<Vec<u8>>,
    /// Versions 0.0 and 0.1: the map itself.
    pub(super) map: Option<Vec<Segment>>,
    offset: Option<u64>,
}

impl Records {
    /// Apply the records in `data`, read at byte `at` of the stream.
    pub(super) fn apply(&mut self, mut data: &[u8], at: u64) -> Result<(), TarError> {
        while !data.is_empty() {
            let (key, value, rest) =
                split_record(data).ok_or_else(|| TarError::field(at, "PAX header", "malformed record"))?;
            self.set(key, value)
                .map_err(|reason| TarError::field(at, String::from_utf8_lossy(key), reason))?;
            data = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        const NUMBER: &str = "not a number in range";
        // An empty value takes back what a global header said.
        let given = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = given.map(<[u8]>::to_vec),
            b"linkpath" => self.link = given.map(<[u8]>::to_vec),
            b"size" => self.size = optional(given, number, NUMBER)?,
            b"uid" => self.uid = optional(given, number32, NUMBER)?,
            b"gid" => self.gid = optional(given, number32, NUMBER)?,
            b"mtime" => self.mtime = optional(given, timestamp, "not a time")?,
            b"atime" => self.atime = optional(given, timestamp, "not a time")?,
            b"ctime" => self.ctime = optional(given, timestamp, "not a time")?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(name, value);
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(name, value)?;
                }
            }
        }
        if key.contains(&0) || matches!(key, b"path" | b"linkpath") && value.contains(&0) {
            return Err("contains a NUL");
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8]) {
        match self.xattrs.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.to_vec(),
            None => self.xattrs.push((name.to_vec(), value.to_vec())),
        }
    }
}

impl Sparse {
    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        const NUMBER: &str = "not a number in range";
        match name {
            b"major" => self.map_in_data = value == b"1",
            b"size" | b"realsize" => self.real_size = Some(number(value).ok_or(NUMBER)?),
            b"name" => self.name = Some(value.to_vec()),
            b"offset" => self.offset = Some(number(value).ok_or(NUMBER)?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or("has no offset before it")?;
                let length = number(value).ok_or(NUMBER)?;
                self.map.get_or_insert_default().push(Segment { offset, length });
            }
            b"map" => self.map = Some(parse_map(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn parse_map(value: &[u8]) -> Result<Vec<Segment>, &'static str> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Option<Vec<u64>> = value.split(|&b| b == b',').map(number).collect();
    let numbers = numbers.ok_or("not a list of numbers")?;
    if numbers.len() % 2 != 0 {
        return Err("odd number of values");
    }
    Ok(numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
}

/// `"LENGTH KEY=VALUE\n"` → key, value, what follows.
fn split_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|&b| b == b' ')?;
    let length = usize::try_from(number(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &data[length..]))
}

/// Parse what is there; an error only if something is there and makes no sense.
fn optional<T>(
    value: Option<&[u8]>,
    parse: impl Fn(&[u8]) -> Option<T>,
    reason: &'static str,
) -> Result<Option<T>, &'static str> {
    value.map(|value| parse(value).ok_or(reason)).transpose()
}

/// A decimal number without sign.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn number32(text: &[u8]) -> Option<u32> {
    number(text)?.try_into().ok()
}

/// Decimal seconds with an optional fraction and sign; digits beyond nanoseconds are cut off.
fn timestamp(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (whole, fraction) =
        text.iter().position(|&b| b == b'.').map_or((text, &b""[..]), |dot| (&text[..dot], &text[dot + 1..]));
    let seconds = i64::try_from(number(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| fraction.get(place).map_or(0, |d| u32::from(d - b'0'));
    let nanoseconds = (0..9).fold(0, |value, place| value * 10 + digit(place));
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp { seconds: -seconds, nanoseconds },
        (true, _) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_their_fraction_forwards() {
        let time = |text: &str| timestamp(text.as_bytes()).map(|t| (t.seconds, t.nanoseconds));
        assert_eq!(time("1.5"), Some((1, 500_000_000)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("5000000000.1234567899"), Some((5_000_000_000, 123_456_789)));
        assert_eq!(time("1.x"), None);
        assert_eq!(time("--1"), None);
    }

    #[test]
    fn records_carry_binary_values_and_reject_lies_about_their_length() {
        let mut records = Records::default();
        records.apply(b"27 SCHILY.xattr.user.a=\0\n\xff\n", 0).unwrap();
        assert_eq!(records.xattrs, [(b"user.a".to_vec(), b"\0\n\xff".to_vec())]);
        for lie in [&b"99 path=a\n"[..], b"3 path=a\n", b"0 a=b\n", b"path=a\n", b"10 path:a\n"] {
            assert!(Records::default().apply(lie, 0).is_err(), "{lie:?}");
        }
    }
}
