//! Block group descriptors (kernel `Documentation/filesystems/ext4/group_descr.rst`).
use super::layout::DESCRIPTOR_SIZE;
use crate::bytes::{get16, get32, low16, put16, put32};

/// `bg_flags`.
pub(super) mod flag {
    /// The inode table and bitmap were never written.
    pub(in crate::ext4) const INODE_UNINIT: u16 = 1;
    /// The block bitmap was never written.
    pub(in crate::ext4) const BLOCK_UNINIT: u16 = 2;
    /// The unused part of the inode table is known to be zero.
    pub(in crate::ext4) const INODE_ZEROED: u16 = 4;
}

/// One group, in the 32-byte form.
#[derive(Clone, Debug, Default)]
pub(super) struct Descriptor {
    pub(super) block_bitmap: u32,
    pub(super) inode_bitmap: u32,
    pub(super) inode_table: u32,
    pub(super) free_blocks: u32,
    pub(super) free_inodes: u32,
    pub(super) directories: u32,
    pub(super) flags: u16,
    /// Inodes at the end of the table that were never used.
    pub(super) unused_inodes: u32,
}

impl Descriptor {
    pub(super) fn encode(&self) -> [u8; DESCRIPTOR_SIZE] {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        put32(&mut bytes, 0, self.block_bitmap);
        put32(&mut bytes, 4, self.inode_bitmap);
        put32(&mut bytes, 8, self.inode_table);
        put16(&mut bytes, 12, low16(self.free_blocks));
        put16(&mut bytes, 14, low16(self.free_inodes));
        put16(&mut bytes, 16, low16(self.directories));
        put16(&mut bytes, 18, self.flags);
        put16(&mut bytes, 28, low16(self.unused_inodes));
        bytes
    }

    /// Read one back; its checksum is not looked at.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let half = |at: usize| u32::from(get16(bytes, at));
        Self {
            block_bitmap: get32(bytes, 0),
            inode_bitmap: get32(bytes, 4),
            inode_table: get32(bytes, 8),
            free_blocks: half(12),
            free_inodes: half(14),
            directories: half(16),
            flags: get16(bytes, 18),
            unused_inodes: half(28),
        }
    }

    /// The same with the checksum of the `gdt_csum` feature: CRC-16 over UUID, group number and descriptor.
    pub(super) fn encode_with_checksum(&self, uuid: &[u8; 16], group: u32) -> [u8; DESCRIPTOR_SIZE] {
        let mut bytes = self.encode();
        let crc = crc16(crc16(crc16(0xffff, uuid), &group.to_le_bytes()), &bytes[..30]);
        put16(&mut bytes, 30, crc);
        bytes
    }
}

const CRC16: [u16; 256] = crc16_table();

const fn crc16_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// CRC-16 with the reflected polynomial 0xa001.
fn crc16(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(start, |crc, &byte| crc >> 8 ^ CRC16[usize::from(crc.to_le_bytes()[0] ^ byte)])
}

#[cfg(test)]
mod tests {
    /// The catalogue's check value for CRC-16/MODBUS.
    #[test]
    fn crc16_has_the_published_check_value() {
        assert_eq!(super::crc16(0xffff, b"123456789"), 0x4b37);
    }
}
