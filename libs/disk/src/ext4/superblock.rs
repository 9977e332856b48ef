//! The superblock (kernel `Documentation/filesystems/ext4/super.rst`).
use super::layout::{EXTRA_ISIZE, FIRST_INODE, INODE_SIZE};
use crate::bytes::{low32, put, put16, put32};

/// Byte at which it starts on the disk.
pub(super) const OFFSET: usize = 1024;
/// Its length in bytes.
pub(super) const SIZE: usize = 1024;

/// `s_feature_compat`.
pub(super) mod compat {
    pub(in crate::ext4) const HAS_JOURNAL: u32 = 0x4;
    pub(in crate::ext4) const EXT_ATTR: u32 = 0x8;
    pub(in crate::ext4) const DIR_INDEX: u32 = 0x20;
    pub(in crate::ext4) const SPARSE_SUPER2: u32 = 0x200;
}

/// `s_feature_incompat`.
pub(super) mod incompat {
    pub(in crate::ext4) const FILETYPE: u32 = 0x2;
    /// The journal has to be replayed.
    pub(in crate::ext4) const RECOVER: u32 = 0x4;
    pub(in crate::ext4) const EXTENTS: u32 = 0x40;
    pub(in crate::ext4) const FLEX_BG: u32 = 0x200;
    pub(in crate::ext4) const INLINE_DATA: u32 = 0x8000;
}

/// `s_feature_ro_compat`.
pub(super) mod ro_compat {
    pub(in crate::ext4) const LARGE_FILE: u32 = 0x2;
    pub(in crate::ext4) const HUGE_FILE: u32 = 0x8;
    pub(in crate::ext4) const GDT_CSUM: u32 = 0x10;
    pub(in crate::ext4) const DIR_NLINK: u32 = 0x20;
    pub(in crate::ext4) const EXTRA_ISIZE: u32 = 0x40;
    pub(in crate::ext4) const READONLY: u32 = 0x1000;
}

/// What differs between our images.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub(super) blocks: u32,
    pub(super) free_blocks: u32,
    pub(super) inodes: u32,
    pub(super) blocks_per_group: u32,
    pub(super) inodes_per_group: u32,
    pub(super) free_inodes: u32,
    pub(super) compat: u32,
    pub(super) incompat: u32,
    pub(super) ro_compat: u32,
    pub(super) uuid: [u8; 16],
    /// Seed of the hashes of indexed directories.
    pub(super) hash_seed: [u8; 16],
    pub(super) label: [u8; 16],
    pub(super) log_groups_per_flex: u8,
    /// Bytes ever written, in KiB; tools show it.
    pub(super) written_kib: u64,
    /// Inode of the journal, or 0.
    pub(super) journal: u32,
}

impl Superblock {
    pub(super) fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let s = &mut bytes[..];
        put32(s, 0, self.inodes);
        put32(s, 4, self.blocks);
        put32(s, 12, self.free_blocks);
        put32(s, 16, self.free_inodes);
        // Block and cluster size: 1024 << 2.
        put32(s, 24, 2);
        put32(s, 28, 2);
        put32(s, 32, self.blocks_per_group);
        put32(s, 36, self.blocks_per_group);
        put32(s, 40, self.inodes_per_group);
        // Mount count: never ask for a check.
        put16(s, 54, 0xffff);
        put16(s, 56, 0xef53);
        // Clean; go on after errors, as the containers would on any host; revision with features.
        put16(s, 58, 1);
        put16(s, 60, 1);
        put32(s, 76, 1);
        put32(s, 84, FIRST_INODE);
        put16(s, 88, INODE_SIZE as u16);
        put32(s, 92, self.compat);
        put32(s, 96, self.incompat);
        put32(s, 100, self.ro_compat);
        put(s, 104, self.uuid);
        put(s, 120, self.label);
        put32(s, 224, self.journal);
        // Seed and version (half MD4) of directory hashes.
        put(s, 236, self.hash_seed);
        s[252] = 1;
        // Default mount options: user_xattr, acl.
        put32(s, 256, 0xc);
        put16(s, 348, EXTRA_ISIZE);
        put16(s, 350, EXTRA_ISIZE);
        // Directory hashes take characters as unsigned.
        put32(s, 352, 2);
        s[372] = self.log_groups_per_flex;
        put32(s, 376, low32(self.written_kib));
        put32(s, 380, low32(self.written_kib >> 32));
        bytes
    }
}
