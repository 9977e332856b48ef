//! What a mapped device does with its sectors: one line of a device-mapper table.
//!
//! Formats: the kernel's `Documentation/admin-guide/device-mapper/{linear,verity,dm-crypt}.rst`.

use std::path::PathBuf;

/// Bytes of a sector, in which tables count.
const SECTOR: u64 = 512;
/// Sectors that an encrypted device is made of: whole blocks of 4 KiB.
const CRYPT_SECTOR: u64 = 4096;

/// A target that covers a whole device.
pub(crate) enum Target {
    /// A part of another device, read-only.
    Linear {
        /// The device.
        device: PathBuf,
        /// Where the part begins.
        offset_bytes: u64,
        /// How long it is.
        length_bytes: u64,
    },
    /// A device whose blocks are checked against a hash tree behind them, read-only.
    Verity {
        /// Data, superblock and tree.
        device: PathBuf,
        /// The tree.
        tree: super::super::verity::Tree,
    },
    /// An encrypted device.
    Crypt {
        /// The device.
        device: PathBuf,
        /// How long it is.
        length_bytes: u64,
        /// AES-256 in XTS mode has two keys of 32 bytes.
        key: [u8; 64],
    },
}

impl Target {
    /// The target's name in a table.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Verity { .. } => "verity",
            Self::Crypt { .. } => "crypt",
        }
    }

    /// Whether the device refuses writes.
    pub(super) fn read_only(&self) -> bool {
        !matches!(self, Self::Crypt { .. })
    }

    /// How many sectors the device has.
    pub(super) fn sectors(&self) -> u64 {
        match self {
            Self::Linear { length_bytes, .. } => length_bytes / SECTOR,
            Self::Verity { tree, .. } => tree.data_blocks * u64::from(tree.data_block_size) / SECTOR,
            Self::Crypt { length_bytes, .. } => length_bytes / CRYPT_SECTOR * (CRYPT_SECTOR / SECTOR),
        }
    }

    /// The rest of the line.
    pub(super) fn parameters(&self) -> String {
        match self {
            Self::Linear { device, offset_bytes, .. } => {
                format!("{} {}", device.display(), offset_bytes / SECTOR)
            }
            Self::Verity { device, tree } => {
                let device = device.display();
                let super::super::verity::Tree {
                    hash_type,
                    data_block_size,
                    hash_block_size,
                    data_blocks,
                    ..
                } = tree;
                let (first, algorithm, root, salt) =
                    (tree.first_hash_block, &tree.algorithm, &tree.root_hash, tree.salt());
                format!(
                    "{hash_type} {device} {device} {data_block_size} {hash_block_size} {data_blocks} {first} \
                     {algorithm} {root} {salt}"
                )
            }
            Self::Crypt { device, key, .. } => {
                // Written digit by digit into one string, so that no copy of the key stays behind.
                let mut text = String::with_capacity(256 + device.as_os_str().len());
                text.push_str("aes-xts-plain64 ");
                for digit in key.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
                    text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
                }
                text.push_str(" 0 ");
                text.push_str(&device.to_string_lossy());
                text.push_str(" 0 1 sector_size:4096");
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crypt_device_has_whole_blocks_and_its_key_in_hexadecimal() {
        let mut key = [0; 64];
        key[0] = 0xa5;
        let target = Target::Crypt { device: "/dev/sdb".into(), length_bytes: 3 * 4096 + 512, key };
        assert_eq!(target.sectors(), 24);
        let expected = format!("aes-xts-plain64 a5{} 0 /dev/sdb 0 1 sector_size:4096", "00".repeat(63));
        assert_eq!(target.parameters(), expected);
        assert!(!target.read_only());
    }
}
