//! Inodes (kernel `Documentation/filesystems/ext4/inodes.rst`).
use super::layout::{EXTRA_ISIZE, INODE_FIXED};
use crate::bytes::{low16, low32, put, put16, put32};
use crate::tar::Timestamp;

/// File type bits of `i_mode`.
pub(super) mod mode {
    pub(in crate::ext4) const FIFO: u16 = 0x1000;
    pub(in crate::ext4) const CHAR: u16 = 0x2000;
    pub(in crate::ext4) const DIRECTORY: u16 = 0x4000;
    pub(in crate::ext4) const BLOCK: u16 = 0x6000;
    pub(in crate::ext4) const FILE: u16 = 0x8000;
    pub(in crate::ext4) const SYMLINK: u16 = 0xa000;
    pub(in crate::ext4) const TYPE: u16 = 0xf000;
}

/// `i_flags`.
pub(super) mod flag {
    /// The directory has an index.
    pub(in crate::ext4) const INDEX: u32 = 0x1000;
    /// `i_block` holds an extent tree.
    pub(in crate::ext4) const EXTENTS: u32 = 0x8_0000;
    /// `i_block` and an attribute hold the content.
    pub(in crate::ext4) const INLINE_DATA: u32 = 0x1000_0000;
}

/// The part of an inode that always means the same.
pub(super) type Fixed = [u8; INODE_FIXED];

/// Who may do what, and when what happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    /// File type and permission bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) atime: Timestamp,
    pub(super) ctime: Timestamp,
}

/// Where the content is.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) links: u16,
    /// Blocks of data, extent tree and extended attributes, in sectors of 512 bytes.
    pub(super) sectors: u64,
    pub(super) flags: u32,
    /// `i_block`: extent tree, link target or device number.
    pub(super) body: [u8; 60],
    /// Block with extended attributes, or 0.
    pub(super) xattr_block: u32,
}

impl Default for Content {
    fn default() -> Self {
        Self { size: 0, links: 1, sectors: 0, flags: 0, body: [0; 60], xattr_block: 0 }
    }
}

/// The on-disk form.
pub(super) fn encode(attributes: &Attributes, content: &Content) -> Fixed {
    let mut inode = [0; INODE_FIXED];
    let i = &mut inode[..];
    put16(i, 0, attributes.mode);
    put16(i, 2, low16(attributes.uid));
    put32(i, 4, low32(content.size));
    put_time(i, 8, 140, attributes.atime);
    put_time(i, 12, 132, attributes.ctime);
    put_time(i, 16, 136, attributes.mtime);
    put16(i, 24, low16(attributes.gid));
    put16(i, 26, content.links);
    put32(i, 28, low32(content.sectors));
    put32(i, 32, content.flags);
    put(i, 40, content.body);
    put32(i, 104, content.xattr_block);
    put32(i, 108, low32(content.size >> 32));
    put16(i, 116, low16(content.sectors >> 32));
    put16(i, 120, low16(attributes.uid >> 16));
    put16(i, 122, low16(attributes.gid >> 16));
    put16(i, 128, EXTRA_ISIZE);
    // The archive knows no time of creation; the oldest one it has is the best guess and keeps the image reproducible.
    put_time(i, 144, 148, attributes.mtime);
    inode
}

pub(super) fn mode_of(inode: &Fixed) -> u16 {
    u16::from_le_bytes([inode[0], inode[1]])
}

pub(super) fn links_of(inode: &Fixed) -> u16 {
    u16::from_le_bytes([inode[26], inode[27]])
}

pub(super) fn set_links(inode: &mut Fixed, links: u16) {
    put16(inode, 26, links);
}

/// Target of a symbolic link that is short enough to stand in the inode.
pub(super) fn short_target(inode: &Fixed) -> &[u8] {
    let size = usize::from(inode[4]).min(60);
    &inode[40..40 + size]
}

/// `i_block` of a device node: the kernel's old form where the numbers fit, else the new one.
pub(super) fn device_body(major: u32, minor: u32) -> Option<[u8; 60]> {
    let mut body = [0; 60];
    if major < 256 && minor < 256 {
        put32(&mut body, 0, major << 8 | minor);
    } else if major < 1 << 12 && minor < 1 << 20 {
        put32(&mut body, 4, minor & 0xff | major << 8 | (minor & !0xff) << 12);
    } else {
        return None;
    }
    Some(body)
}

/// 34-bit seconds from 1901 to 2446, and nanoseconds, over two fields; moments outside are moved to the nearest inside.
fn put_time(inode: &mut [u8], at: usize, extra_at: usize, time: Timestamp) {
    const FIRST: i64 = -(1 << 31);
    const LAST: i64 = (1 << 34) - (1 << 31) - 1;
    let seconds = time.seconds.clamp(FIRST, LAST);
    let nanoseconds = if seconds == time.seconds { time.nanoseconds } else { 0 };
    let low = low32(seconds.cast_unsigned());
    let epoch = (seconds - i64::from(low.cast_signed())) >> 32 & 3;
    put32(inode, at, low);
    put32(inode, extra_at, nanoseconds << 2 | low32(epoch.cast_unsigned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> (u32, u32) {
        let mut bytes = [0; 8];
        put_time(&mut bytes, 0, 4, Timestamp { seconds, nanoseconds: 5 });
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        (number(0), number(4))
    }

    /// The table of `Documentation/filesystems/ext4/inodes.rst`, "Inode Timestamps".
    #[test]
    fn times_follow_the_kernels_table() {
        assert_eq!(time(-1), (0xffff_ffff, 5 << 2));
        assert_eq!(time(-(1 << 31)), (0x8000_0000, 5 << 2));
        assert_eq!(time(0x7fff_ffff), (0x7fff_ffff, 5 << 2));
        assert_eq!(time(0x8000_0000), (0x8000_0000, 5 << 2 | 1));
        assert_eq!(time(0x1_0000_0000), (0, 5 << 2 | 1));
        assert_eq!(time(0x3_7fff_ffff), (0x7fff_ffff, 5 << 2 | 3));
        assert_eq!(time(i64::MAX), (0x7fff_ffff, 3));
        assert_eq!(time(i64::MIN), (0x8000_0000, 0));
    }

    #[test]
    fn device_numbers_use_the_old_form_while_it_fits() {
        let words = |major, minor| {
            let body = device_body(major, minor).unwrap();
            (
                u32::from_le_bytes(body[..4].try_into().unwrap()),
                u32::from_le_bytes(body[4..8].try_into().unwrap()),
            )
        };
        assert_eq!(words(1, 3), (0x103, 0));
        assert_eq!(words(259, 0x12345), (0, 0x1231_0345));
        assert!(device_body(4096, 0).is_none());
    }
}
