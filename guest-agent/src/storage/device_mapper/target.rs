//! What a mapped device does with its sectors: one line of a device-mapper table.
//!
//! Formats: the kernel's `Documentation/admin-guide/device-mapper/{linear,verity,dm-crypt}.rst`.

use std::path::PathBuf;

use lcow_disk::verity::{BLOCK_SIZE, Verity};

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
        tree: Verity,
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
            Self::Verity { tree, .. } => tree.superblock.data_bytes() / SECTOR,
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
                let (device, blocks, root) = (device.display(), tree.superblock.data_blocks, tree.root);
                // Hash type 1; the tree begins one block behind the data, where the superblock is.
                format!(
                    "1 {device} {device} {BLOCK_SIZE} {BLOCK_SIZE} {blocks} {first} sha256 {root} {salt}",
                    first = blocks + 1,
                    salt = salt(&tree.superblock.salt),
                )
            }
            Self::Crypt { device, key, .. } => {
                // Written digit by digit into one string, so that no copy of the key stays behind.
                let mut text = String::with_capacity(256 + device.as_os_str().len());
                text.push_str("aes-xts-plain64 ");
                text.extend(key.iter().flat_map(|byte| digits(*byte)));
                text.push_str(" 0 ");
                text.push_str(&device.to_string_lossy());
                text.push_str(" 0 1 sector_size:4096");
                text
            }
        }
    }
}

/// A salt as a table has it.
fn salt(salt: &[u8]) -> String {
    if salt.is_empty() { "-".to_owned() } else { salt.iter().flat_map(|byte| digits(*byte)).collect() }
}

fn digits(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 0xf].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verity_device_ends_where_its_tree_begins() {
        let mut disk = std::io::Cursor::new(vec![7; 16 * BLOCK_SIZE]);
        let tree = lcow_disk::verity::append(&mut disk, 16 * 4096, [1; 16]).unwrap();
        let (root, salt) = (tree.root.to_string(), salt(&tree.superblock.salt));
        let target = Target::Verity { device: "/dev/sdc".into(), tree };
        assert_eq!(target.sectors(), 16 * 8);
        let expected = format!("1 /dev/sdc /dev/sdc 4096 4096 16 17 sha256 {root} {salt}");
        assert_eq!(target.parameters(), expected);
        assert!(target.read_only());
    }

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
