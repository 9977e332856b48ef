//! The superblock of `veritysetup` (cryptsetup's "DM-Verity" wiki page, "Verity superblock format").
use super::{BLOCK, HASH_SIZE, VerityError};
use crate::bytes::{get16, get32, get64, put, put16, put32};

/// Bytes of the superblock; zeros fill its block.
pub const SUPERBLOCK_SIZE: usize = 512;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8; 6] = b"sha256";
const MAX_SALT: usize = 256;

/// What the superblock says, as far as disks differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Identity of the tree.
    pub uuid: [u8; 16],
    /// Blocks of 4096 bytes that the tree covers.
    pub data_blocks: u64,
    /// Comes before every block that is hashed; at most 256 bytes.
    pub salt: Vec<u8>,
}

impl Superblock {
    pub(super) fn new(data_bytes: u64, uuid: [u8; 16], salt: &[u8]) -> Result<Self, VerityError> {
        if data_bytes == 0 || !data_bytes.is_multiple_of(BLOCK) {
            return Err(VerityError::Size { bytes: data_bytes });
        }
        if salt.len() > MAX_SALT {
            return Err(unsupported("salt size", &salt.len(), "256 or less"));
        }
        Ok(Self { uuid, data_blocks: data_bytes / BLOCK, salt: salt.to_vec() })
    }

    /// Bytes that the tree covers.
    pub fn data_bytes(&self) -> u64 {
        self.data_blocks.saturating_mul(BLOCK)
    }

    /// The bytes on disk.
    pub fn encode(&self) -> [u8; SUPERBLOCK_SIZE] {
        let mut bytes = [0; SUPERBLOCK_SIZE];
        put(&mut bytes, 0, *SIGNATURE);
        // Version of the superblock; hash type 1: the salt comes first.
        put32(&mut bytes, 8, 1);
        put32(&mut bytes, 12, 1);
        put(&mut bytes, 16, self.uuid);
        put(&mut bytes, 32, *ALGORITHM);
        put32(&mut bytes, 64, BLOCK as u32);
        put32(&mut bytes, 68, BLOCK as u32);
        put(&mut bytes, 72, self.data_blocks.to_le_bytes());
        put16(&mut bytes, 80, self.salt.len() as u16);
        bytes[88..88 + self.salt.len()].copy_from_slice(&self.salt);
        bytes
    }

    /// Read it back from byte `at` of a disk; what differs from format 1, SHA-256 and 4096 bytes is refused.
    pub fn parse(bytes: &[u8; SUPERBLOCK_SIZE], at: u64) -> Result<Self, VerityError> {
        if !bytes.starts_with(SIGNATURE) {
            return Err(VerityError::Missing { at });
        }
        let numbers = [
            ("version", 8, 1, "1"),
            ("hash type", 12, 1, "1"),
            ("data block size", 64, BLOCK as u32, "4096"),
            ("hash block size", 68, BLOCK as u32, "4096"),
        ];
        for (field, offset, expected, supported) in numbers {
            let value = get32(bytes, offset);
            if value != expected {
                return Err(unsupported(field, &value, supported));
            }
        }
        let algorithm = bytes[32..64].split(|&b| b == 0).next().unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(unsupported("algorithm", &String::from_utf8_lossy(algorithm), "sha256"));
        }
        let salt_size = usize::from(get16(bytes, 80));
        if salt_size > MAX_SALT {
            return Err(unsupported("salt size", &salt_size, "256 or less"));
        }
        let data_blocks = get64(bytes, 72);
        if data_blocks == 0 || data_blocks > u64::MAX / BLOCK / HASH_SIZE as u64 {
            return Err(unsupported("number of data blocks", &data_blocks, "what fits a disk"));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&bytes[16..32]);
        Ok(Self { uuid, data_blocks, salt: bytes[88..88 + salt_size].to_vec() })
    }
}

fn unsupported(field: &'static str, value: &impl ToString, supported: &'static str) -> VerityError {
    VerityError::Unsupported { field, value: value.to_string(), supported }
}
