//! dm-verity: a tree of hashes over a read-only disk (kernel `Documentation/admin-guide/device-mapper/verity.rst`;
//! superblock of `veritysetup`, format 1).
//!
//! The layout is the one hosts of utility VMs use: data | superblock (one block) | tree, top level first. All blocks have
//! 4096 bytes, hashes are SHA-256, and the salt comes before the block.
//!
//! To make a layer disk with a tree: [`crate::ext4::layer::convert`] without footer, [`append`], then
//! [`crate::vhd::append_footer`].
//!
//! ```
//! use std::io::Cursor;
//! use lcow_disk::verity;
//! let mut disk = Cursor::new(vec![7; 16 * 4096]);
//! let tree = verity::append(&mut disk, 16 * 4096, [1; 16]).unwrap();
//! // The guest finds the superblock behind the data and the root hash in the first block of the tree.
//! let found = verity::read(&mut disk, 16 * 4096).unwrap();
//! assert_eq!(found.root, tree.root);
//! verity::check(&mut disk, 16 * 4096).unwrap();
//! ```
#![allow(clippy::cast_possible_truncation, reason = "fields have the width of the disk format")]
mod superblock;
mod tree;

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

pub use superblock::{SUPERBLOCK_SIZE, Superblock};

use tree::Levels;

/// Bytes of a data block and of a hash block.
pub const BLOCK_SIZE: usize = 4096;
const BLOCK: u64 = BLOCK_SIZE as u64;
/// Bytes of a hash.
pub const HASH_SIZE: usize = 32;

/// The hash that vouches for the whole disk. Shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash(pub [u8; HASH_SIZE]);

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

/// A tree that is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verity {
    /// The superblock in front of it.
    pub superblock: Superblock,
    /// Hash of its top block (of the only data block if there is just one).
    pub root: RootHash,
    /// First byte behind it.
    pub end: u64,
}

/// Why a tree cannot be made, read or trusted. Offsets are bytes on the disk.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The data is empty or not made of whole blocks.
    #[error("{bytes} bytes of data: dm-verity needs a multiple of {BLOCK_SIZE}, and not zero")]
    Size {
        /// Length of the data.
        bytes: u64,
    },
    /// There is no superblock where one should be.
    #[error("no dm-verity superblock at byte {at}")]
    Missing {
        /// Where it was looked for.
        at: u64,
    },
    /// The superblock describes something that is not used here.
    #[error("dm-verity superblock: {field} is {value}, only {supported} is supported")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it would have to hold.
        supported: &'static str,
    },
    /// A block of the tree does not have the hashes of what is below it.
    #[error("dm-verity: the block of hashes at byte {at} does not match what it covers")]
    Mismatch {
        /// The block.
        at: u64,
    },
    /// The disk failed.
    #[error("{action} the dm-verity {part}")]
    Io {
        /// Reading or writing.
        action: &'static str,
        /// Which part.
        part: &'static str,
        /// How it failed.
        #[source]
        source: io::Error,
    },
}

/// The salt that belongs to a file system: derived from its UUID, so that equal disks have equal trees.
pub fn salt_for(uuid: [u8; 16]) -> [u8; HASH_SIZE] {
    Sha256::new().chain_update(b"lcow verity salt").chain_update(uuid).finalize().into()
}

/// Write superblock and tree behind the first `data_bytes` of `disk`, which are read for it. Hashing uses up to four
/// processors; memory stays under 16 MB for 128 GiB of data.
///
/// `uuid` identifies the tree; that of the file system is a good choice. The salt is [`salt_for`] it.
pub fn append<F: Read + Write + Seek>(
    disk: &mut F,
    data_bytes: u64,
    uuid: [u8; 16],
) -> Result<Verity, VerityError> {
    append_with_salt(disk, data_bytes, uuid, &salt_for(uuid))
}

/// [`append`] with a salt of up to 256 bytes, such as the 32 zeros that policies of other hosts expect.
pub fn append_with_salt<F: Read + Write + Seek>(
    disk: &mut F,
    data_bytes: u64,
    uuid: [u8; 16],
    salt: &[u8],
) -> Result<Verity, VerityError> {
    let superblock = Superblock::new(data_bytes, uuid, salt)?;
    let levels = Levels::new(data_bytes, superblock.data_blocks);
    let root = tree::walk(disk, &levels, salt, tree::put)?;
    let mut block = [0; BLOCK_SIZE];
    block[..SUPERBLOCK_SIZE].copy_from_slice(&superblock.encode());
    tree::put(disk, data_bytes, &block)?;
    disk.flush().map_err(|source| VerityError::Io { action: "writing", part: "tree", source })?;
    Ok(Verity { superblock, root, end: levels.end() })
}

/// The tree whose superblock is at byte `at`. Only superblock and top block are read: the root hash says what the disk
/// claims; [`check`] or the kernel find out whether it is true.
pub fn read<F: Read + Seek>(disk: &mut F, at: u64) -> Result<Verity, VerityError> {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    tree::get(disk, at, &mut bytes, "superblock")?;
    let superblock = Superblock::parse(&bytes, at)?;
    let levels = Levels::new(at, superblock.data_blocks);
    let mut top = [0; BLOCK_SIZE];
    tree::get(disk, levels.top(), &mut top, "tree")?;
    let root = RootHash(tree::digest(&tree::salted(&superblock.salt), &top));
    Ok(Verity { superblock, root, end: levels.end() })
}

/// Read everything and compare every hash, as the kernel would.
pub fn check<F: Read + Seek>(disk: &mut F, at: u64) -> Result<Verity, VerityError> {
    let found = read(disk, at)?;
    if found.superblock.data_bytes() != at {
        return Err(VerityError::Unsupported {
            field: "number of data blocks",
            value: found.superblock.data_blocks.to_string(),
            supported: "one that fills the disk up to the superblock",
        });
    }
    let levels = Levels::new(at, found.superblock.data_blocks);
    let salt = found.superblock.salt.clone();
    let mut stored = vec![0; BLOCK_SIZE];
    tree::walk(disk, &levels, &salt, |disk, at, block| {
        stored.resize(block.len(), 0);
        tree::get(disk, at, &mut stored, "tree")?;
        match stored.chunks(BLOCK_SIZE).zip(block.chunks(BLOCK_SIZE)).position(|(a, b)| a != b) {
            Some(wrong) => Err(VerityError::Mismatch { at: at + wrong as u64 * BLOCK }),
            None => Ok(()),
        }
    })?;
    Ok(found)
}

fn seek<F: Seek>(disk: &mut F, at: u64) -> io::Result<()> {
    disk.seek(SeekFrom::Start(at)).map(drop)
}
