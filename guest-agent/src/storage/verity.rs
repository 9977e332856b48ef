//! dm-verity: a read-only layer whose ext4 is followed by a superblock and a hash tree (spec section 9.2).
//!
//! Format: cryptsetup's on-disk format of dm-verity, version 1, with the superblock directly behind the file system.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Error;

/// ext4's superblock, and fields in it.
const EXT4_AT: u64 = 1024;
const EXT4_LENGTH: usize = 1024;
const EXT4_BLOCKS: usize = 4;
const EXT4_LOG_BLOCK_SIZE: usize = 24;
const EXT4_MAGIC_AT: usize = 56;
const EXT4_MAGIC: [u8; 2] = [0x53, 0xEF];

/// The verity superblock and its fields.
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const LENGTH: usize = 512;
const VERSION_AT: usize = 8;
const HASH_TYPE_AT: usize = 12;
const ALGORITHM: std::ops::Range<usize> = 32..64;
const DATA_BLOCK_SIZE_AT: usize = 64;
const HASH_BLOCK_SIZE_AT: usize = 68;
const DATA_BLOCKS: std::ops::Range<usize> = 72..80;
const SALT_LENGTH: std::ops::Range<usize> = 80..82;
const SALT_AT: usize = 88;
const LONGEST_SALT: usize = 256;

/// The only version there is, and the only order of salt and data that anybody writes.
const VERSION: u32 = 1;
const HASH_TYPE: u32 = 1;

/// What agent flags demand of read-only layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `-require-verity`: a layer without a hash tree is refused.
    pub(crate) required: bool,
    /// `-verity-root`: if not empty, a layer must have one of these root hashes (lower-case hexadecimal).
    pub(crate) roots: Vec<String>,
}

impl Policy {
    /// Whether layers without a hash tree are refused.
    pub(crate) fn demands(&self) -> bool {
        self.required || !self.roots.is_empty()
    }
}

/// A hash tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(super) hash_type: u32,
    pub(super) algorithm: String,
    pub(super) data_block_size: u32,
    pub(super) hash_block_size: u32,
    pub(super) data_blocks: u64,
    /// The root block, counted in hash blocks from the device's start.
    pub(super) first_hash_block: u64,
    /// Lower-case hexadecimal.
    pub(super) root_hash: String,
    salt: Vec<u8>,
}

impl Tree {
    /// The salt as a table has it.
    pub(super) fn salt(&self) -> String {
        if self.salt.is_empty() { "-".to_owned() } else { hex(&self.salt) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|d| char::from_digit(d.into(), 16))
        .collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// The tree that a read-only layer is to be opened with; `None` if it has none and needs none.
pub(super) fn tree_of(device: &Path, policy: &Policy) -> Result<Option<Tree>, Error> {
    let refused = |reason: String| Error::Verity { path: device.to_owned(), reason };
    let file = File::open(device).map_err(Error::io("opening", device))?;
    let found = find(&file).map_err(|problem| match problem {
        Problem::Io(error) => Error::io("reading", device)(error),
        Problem::Malformed(what) => refused(what),
    })?;
    match &found {
        None if policy.demands() => Err(refused("it has no hash tree, and the agent demands one".to_owned())),
        Some(tree) if !policy.roots.is_empty() && !policy.roots.contains(&tree.root_hash) => {
            Err(refused(format!("its root hash {} is not one that the agent was given", tree.root_hash)))
        }
        _ => Ok(found),
    }
}

enum Problem {
    Io(io::Error),
    Malformed(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads as much as there is: a device may end right behind its file system.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

/// The size of the ext4 at the device's start.
fn ext4_size(file: &File) -> io::Result<Option<u64>> {
    let mut superblock = [0; EXT4_LENGTH];
    if !read_at(file, &mut superblock, EXT4_AT)? || superblock[EXT4_MAGIC_AT..][..2] != EXT4_MAGIC {
        return Ok(None);
    }
    let block =
        1024_u64.checked_shl(u32_at(&superblock, EXT4_LOG_BLOCK_SIZE)).filter(|size| *size <= 1 << 16);
    Ok(block.map(|block| block * u64::from(u32_at(&superblock, EXT4_BLOCKS))))
}

fn find(file: &File) -> Result<Option<Tree>, Problem> {
    let Some(size) = ext4_size(file)? else { return Ok(None) };
    let mut superblock = [0; LENGTH];
    if !read_at(file, &mut superblock, size)? || !superblock.starts_with(SIGNATURE) {
        return Ok(None);
    }
    let mut tree = parse(&superblock, size).map_err(Problem::Malformed)?;
    let mut root = vec![0; tree.hash_block_size as usize];
    if !read_at(file, &mut root, tree.first_hash_block * u64::from(tree.hash_block_size))? {
        return Err(Problem::Malformed("the device ends before the hash tree's root".to_owned()));
    }
    tree.root_hash = hex(&Sha256::new().chain_update(&tree.salt).chain_update(&root).finalize());
    Ok(Some(tree))
}

/// Everything but the root hash.
fn parse(superblock: &[u8; LENGTH], ext4_size: u64) -> Result<Tree, String> {
    let (version, hash_type) = (u32_at(superblock, VERSION_AT), u32_at(superblock, HASH_TYPE_AT));
    if (version, hash_type) != (VERSION, HASH_TYPE) {
        return Err(format!(
            "version {version} and hash type {hash_type} of its hash tree are not supported"
        ));
    }
    let algorithm = String::from_utf8_lossy(&superblock[ALGORITHM]).trim_end_matches('\0').to_owned();
    if algorithm != "sha256" {
        return Err(format!("its hash algorithm {algorithm:?} is not supported"));
    }
    let sizes = [u32_at(superblock, DATA_BLOCK_SIZE_AT), u32_at(superblock, HASH_BLOCK_SIZE_AT)];
    if sizes.iter().any(|size| !size.is_power_of_two() || !(512..=65536).contains(size)) {
        return Err(format!("the block sizes {sizes:?} of its hash tree are not valid"));
    }
    let [data_block_size, hash_block_size] = sizes;
    let number = superblock[DATA_BLOCKS].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if number.checked_mul(u64::from(data_block_size)) != Some(ext4_size) {
        return Err("its hash tree does not cover the file system exactly".to_owned());
    }
    if !ext4_size.is_multiple_of(u64::from(hash_block_size)) {
        return Err("its hash tree does not begin at a block".to_owned());
    }
    let length = superblock[SALT_LENGTH].first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
    let length = usize::from(length);
    if length > LONGEST_SALT {
        return Err(format!("a salt of {length} bytes is too long"));
    }
    Ok(Tree {
        hash_type,
        algorithm,
        data_block_size,
        hash_block_size,
        data_blocks: number,
        first_hash_block: ext4_size / u64::from(hash_block_size) + 1,
        root_hash: String::new(),
        salt: superblock[SALT_AT..SALT_AT + length].to_vec(),
    })
}
