//! The footer of a fixed VHD: a raw disk with 512 bytes behind it ("Virtual Hard Disk Image Format Specification",
//! version 1.0).
use std::io::{self, Seek, SeekFrom, Write};

/// Bytes of a footer.
pub const FOOTER_SIZE: usize = 512;

const COOKIE: &[u8; 8] = b"conectix";
/// Writers that measure in sectors, not in cylinders; QEMU reads the right size only from them.
const CREATOR: &[u8; 4] = b"win ";
const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCING: u32 = 4;

/// How the blocks of a VHD are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskType {
    /// As they are, from the start of the file.
    Fixed,
    /// By a table; only blocks that were written exist.
    Dynamic,
    /// As differences to another disk.
    Differencing,
}

/// What a footer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Size of the disk in bytes, without the footer.
    pub size: u64,
    /// Identity of the disk.
    pub id: [u8; 16],
    /// Storage of the blocks.
    pub disk_type: DiskType,
}

/// Why a footer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FooterError {
    /// The last 512 bytes are something else.
    #[error("not a VHD: the footer does not start with \"conectix\"")]
    Cookie,
    /// They are damaged.
    #[error("the VHD footer has a wrong checksum")]
    Checksum,
    /// The disk type is none of those known.
    #[error("VHD disk type {0} is unknown")]
    DiskType(u32),
}

impl Footer {
    /// Of a fixed disk of `size` bytes, which must be a multiple of 512.
    pub fn fixed(size: u64, id: [u8; 16]) -> Self {
        debug_assert_eq!(size % 512, 0);
        Self { size, id, disk_type: DiskType::Fixed }
    }

    /// The 512 bytes to append.
    pub fn encode(&self) -> [u8; FOOTER_SIZE] {
        let disk_type = match self.disk_type {
            DiskType::Fixed => FIXED,
            DiskType::Dynamic => DYNAMIC,
            DiskType::Differencing => DIFFERENCING,
        };
        let mut bytes = [0; FOOTER_SIZE];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, COOKIE);
        // Features: the reserved bit, always set. Format version 1.0.
        put(8, &2u32.to_be_bytes());
        put(12, &0x0001_0000u32.to_be_bytes());
        // A fixed disk has no header to point to.
        put(16, &u64::MAX.to_be_bytes());
        put(28, CREATOR);
        put(32, &0x000a_0000u32.to_be_bytes());
        put(40, &self.size.to_be_bytes());
        put(48, &self.size.to_be_bytes());
        put(60, &disk_type.to_be_bytes());
        put(68, &self.id);
        let sum = checksum(&bytes);
        bytes[64..68].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Read a footer back.
    pub fn parse(bytes: &[u8; FOOTER_SIZE]) -> Result<Self, FooterError> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if !bytes.starts_with(COOKIE) {
            return Err(FooterError::Cookie);
        }
        if word(64) != checksum(bytes) {
            return Err(FooterError::Checksum);
        }
        let disk_type = match word(60) {
            FIXED => DiskType::Fixed,
            DYNAMIC => DiskType::Dynamic,
            DIFFERENCING => DiskType::Differencing,
            other => return Err(FooterError::DiskType(other)),
        };
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[68..84]);
        Ok(Self { size: u64::from(word(48)) << 32 | u64::from(word(52)), id, disk_type })
    }
}

/// Make the first `size` bytes of `disk` a fixed VHD: write the footer behind them. `size` must be a multiple of 512.
pub fn append_footer<W: Write + Seek>(disk: &mut W, size: u64, id: [u8; 16]) -> io::Result<()> {
    if !size.is_multiple_of(512) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a VHD has a multiple of 512 bytes"));
    }
    disk.seek(SeekFrom::Start(size))?;
    disk.write_all(&Footer::fixed(size, id).encode())?;
    disk.flush()
}

/// Complement of the sum of all bytes, those of the checksum itself left out.
fn checksum(bytes: &[u8; FOOTER_SIZE]) -> u32 {
    let sum = |part: &[u8]| part.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    !(sum(&bytes[..64]) + sum(&bytes[68..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_reads_back_and_damage_is_noticed() {
        let footer = Footer::fixed(5 << 32 | 4096, [7; 16]);
        let bytes = footer.encode();
        assert_eq!(Footer::parse(&bytes), Ok(footer));
        for at in [0, 8, 64, 70, 511] {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert!(Footer::parse(&damaged).is_err(), "byte {at}");
        }
    }

    /// Values from the specification and from what QEMU needs.
    #[test]
    fn fields_stand_where_the_specification_has_them() {
        let bytes = Footer::fixed(0x1_0000_0000, [1; 16]).encode();
        assert_eq!(&bytes[..12], b"conectix\0\0\0\x02");
        assert_eq!(&bytes[28..32], b"win ");
        assert_eq!(bytes[40..48], [0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[60..64], [0, 0, 0, 2]);
    }
}
