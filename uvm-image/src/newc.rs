//! Members of "newc" cpio archives (kernel Documentation/driver-api/early-userspace/buffer-format.rst): a header of
//! hexadecimal fields, the name, the content; name and content are padded to four bytes.

use std::io::{self, Write};

/// The name of the member that ends an archive.
pub const TRAILER: &[u8] = b"TRAILER!!!";

/// Bytes of the fixed part of a header.
const FIXED: usize = 110;

/// What a member is: the upper bits of its mode (`inode(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Type {
    /// Nothing: the end of an archive.
    None = 0,
    /// A named pipe.
    Fifo = 0o010_000,
    /// A character device.
    CharDevice = 0o020_000,
    /// A directory.
    Directory = 0o040_000,
    /// A block device.
    BlockDevice = 0o060_000,
    /// A regular file.
    Regular = 0o100_000,
    /// A symbolic link; its content is its target.
    Symlink = 0o120_000,
}

/// What an archive says about a member besides its name. The default is an archive's end but for the number of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Equal for all names of a file.
    pub inode: u32,
    /// What it is.
    pub kind: Type,
    /// Permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How many names it has.
    pub links: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes of the content that follows.
    pub size: u32,
    /// Major and minor number of the device it was on.
    pub on: (u32, u32),
    /// Major and minor number of the device it is.
    pub device: (u32, u32),
}

impl Default for Header {
    fn default() -> Self {
        Self {
            inode: 0,
            kind: Type::None,
            mode: 0,
            uid: 0,
            gid: 0,
            links: 0,
            mtime: 0,
            size: 0,
            on: (0, 0),
            device: (0, 0),
        }
    }
}

/// Writes a header for `name` to `out`, which is at a multiple of four bytes and will be again.
pub fn header(out: &mut dyn Write, header: &Header, name: &[u8]) -> io::Result<()> {
    let Header { inode, kind, mode, uid, gid, links, mtime, size, on, device } = *header;
    let mode = kind as u32 | mode;
    let length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    // The last field is a checksum in another variant of the format.
    let fields = [inode, mode, uid, gid, links, mtime, size, on.0, on.1, device.0, device.1, length, 0];
    out.write_all(b"070701")?;
    for field in fields {
        write!(out, "{field:08x}")?;
    }
    out.write_all(name)?;
    let zeros = 1 + padding((FIXED + name.len() + 1) as u64);
    out.write_all(&[0; 4][..zeros])
}

/// How many bytes are missing from `length` to a multiple of four.
pub fn padding(length: u64) -> usize {
    (length.wrapping_neg() % 4) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_kernel_reads_them() {
        let mut out = Vec::new();
        let fields = Header {
            inode: 1,
            kind: Type::BlockDevice,
            mode: 0o600,
            uid: 2,
            gid: 3,
            links: 4,
            mtime: 5,
            size: 6,
            on: (7, 8),
            device: (9, 10),
        };
        header(&mut out, &fields, b"abc").unwrap();
        let expected = concat!(
            "070701",
            "00000001",
            "00006180",
            "00000002",
            "00000003",
            "00000004",
            "00000005",
            "00000006",
            "00000007",
            "00000008",
            "00000009",
            "0000000a",
            "00000004",
            "00000000",
            "abc\0\0\0"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!((padding(4), padding(5), padding(7)), (0, 3, 1));
    }
}
