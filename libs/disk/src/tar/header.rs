//! The fixed 512-byte header record (POSIX.1-2001 `pax`, "ustar Interchange Format"; GNU tar manual, "Basic Tar
//! Format").
use super::{RECORD, TarError};

/// One header record and where it was found.
pub(super) struct Header {
    bytes: [u8; RECORD],
    offset: u64,
}

impl Header {
    /// Accept `bytes`, read at `offset`, if their checksum is right.
    pub(super) fn new(bytes: &[u8; RECORD], offset: u64) -> Result<Self, TarError> {
        let header = Self { bytes: *bytes, offset };
        let stated = header.number(148..156, "checksum")?;
        let byte = |i: usize| if (148..156).contains(&i) { b' ' } else { header.bytes[i] };
        let unsigned: u64 = (0..RECORD).map(|i| u64::from(byte(i))).sum();
        // Old Unix tars added up signed characters.
        let signed: i64 = (0..RECORD).map(|i| i64::from(byte(i).cast_signed())).sum();
        if stated == unsigned || i64::try_from(stated) == Ok(signed) {
            Ok(header)
        } else {
            Err(TarError::Checksum { offset })
        }
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.bytes[156]
    }

    pub(super) fn bytes(&self) -> &[u8; RECORD] {
        &self.bytes
    }

    /// The name with the ustar prefix before it.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.bytes[..100]);
        let prefix = text(&self.bytes[345..500]);
        // GNU headers ("ustar  ") keep other things where POSIX ones keep the prefix.
        if &self.bytes[257..263] != b"ustar\0" || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.bytes[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> Result<u16, TarError> {
        Ok((self.number(100..108, "mode")? & 0o7777) as u16)
    }

    pub(super) fn uid(&self) -> Result<u32, TarError> {
        self.number32(108..116, "uid")
    }

    pub(super) fn gid(&self) -> Result<u32, TarError> {
        self.number32(116..124, "gid")
    }

    /// Bytes that follow in the archive, before padding.
    pub(super) fn stored_size(&self) -> Result<u64, TarError> {
        self.number(124..136, "size")
    }

    pub(super) fn mtime(&self) -> Result<i64, TarError> {
        let field = &self.bytes[136..148];
        signed_number(field).ok_or_else(|| self.bad("mtime"))
    }

    pub(super) fn device(&self) -> Result<(u32, u32), TarError> {
        Ok((self.number32(329..337, "device major")?, self.number32(337..345, "device minor")?))
    }

    fn number(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<u64, TarError> {
        let value = signed_number(&self.bytes[range]).ok_or_else(|| self.bad(field))?;
        u64::try_from(value).map_err(|_| self.bad(field))
    }

    fn number32(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<u32, TarError> {
        u32::try_from(self.number(range, field)?).map_err(|_| self.bad(field))
    }

    fn bad(&self, field: &'static str) -> TarError {
        TarError::field(self.offset, field, "not a number in range")
    }
}

/// A text field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// A numeric field: octal digits between blanks and NULs, or GNU's big-endian two's complement form.
pub(super) fn signed_number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return base256(field);
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0i64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { i64::from(field[0].cast_signed()) } else { i64::from(field[0] & 0x3f) };
    field[1..].iter().try_fold(first, |value, &byte| value.checked_mul(256)?.checked_add(i64::from(byte)))
}
