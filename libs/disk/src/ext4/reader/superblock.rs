//! The numbers that everything else is found by.
use super::error::{ReadError, corrupt};
use crate::bytes::{get, get16, get32};

const MAGIC: u16 = 0xef53;
const RECOVER: u32 = 0x4;
const BITS_64: u32 = 0x80;

/// `s_feature_incompat` flags that change nothing for a reader, or are understood.
const UNDERSTOOD: u32 =
    0x2 | RECOVER | 0x40 | BITS_64 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000;

/// Names of the others.
const REFUSED: [(u32, &str); 4] = [
    (0x1, "compression"),
    (0x8, "a journal only"),
    (0x10, "meta block groups"),
    (0x1000, "data in directories"),
];

/// What a superblock says.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) block_size: u32,
    pub(super) blocks: u64,
    pub(super) inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_size: u32,
    pub(super) descriptor_size: u32,
    /// First block of the group descriptors.
    pub(super) descriptors: u64,
    pub(super) uuid: [u8; 16],
    pub(super) needs_recovery: bool,
    pub(super) journal: u32,
    pub(super) clean: bool,
}

impl Geometry {
    pub(super) fn parse(s: &[u8; 1024]) -> Result<Self, ReadError> {
        if get16(s, 56) != MAGIC {
            return Err(ReadError::NotExt4);
        }
        let fault = |reason| corrupt("superblock", 0u32, reason);
        let incompat = if get32(s, 76) == 0 { 0 } else { get32(s, 96) };
        if incompat & !UNDERSTOOD != 0 {
            let known = REFUSED.iter().find(|(bit, _)| incompat & bit != 0);
            let what =
                known.map_or_else(|| format!("unknown features ({incompat:#x})"), |(_, name)| (*name).into());
            return Err(ReadError::Unsupported { what });
        }
        let shift = get32(s, 24);
        if shift > 6 {
            return Err(fault("impossible block size"));
        }
        let block_size = 1024 << shift;
        let high = if incompat & BITS_64 != 0 { u64::from(get32(s, 336)) << 32 } else { 0 };
        let inode_size = if get32(s, 76) == 0 { 128 } else { u32::from(get16(s, 88)) };
        if !inode_size.is_power_of_two() || inode_size < 128 || inode_size > block_size {
            return Err(fault("impossible inode size"));
        }
        let descriptor_size = if incompat & BITS_64 != 0 { u32::from(get16(s, 254)) } else { 32 };
        if !descriptor_size.is_power_of_two() || !(32..=1024).contains(&descriptor_size) {
            return Err(fault("impossible size of group descriptors"));
        }
        let (inodes, inodes_per_group) = (get32(s, 0), get32(s, 40));
        if inodes_per_group == 0 || inodes == 0 {
            return Err(fault("no inodes"));
        }
        let needs_recovery = incompat & RECOVER != 0;
        if needs_recovery && get32(s, 224) == 0 {
            return Err(ReadError::Unsupported {
                what: "a journal on another disk, which is not empty".into(),
            });
        }
        Ok(Self {
            block_size,
            blocks: high | u64::from(get32(s, 4)),
            inodes,
            inodes_per_group,
            inode_size,
            descriptor_size,
            descriptors: u64::from(get32(s, 20)) + 1,
            uuid: get(s, 104),
            needs_recovery,
            journal: get32(s, 224),
            clean: get16(s, 58) & 3 == 1,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }
}
