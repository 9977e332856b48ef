//! Extended attributes in the inode and in a block of their own (kernel
//! `Documentation/filesystems/ext4/attributes.rst`).
use super::layout::{BLOCK_SIZE, INODE_FIXED, INODE_SIZE};
use crate::bytes::{put16, put32};

/// Room after the fixed part of an inode.
const TAIL: usize = INODE_SIZE - INODE_FIXED;
pub(super) const MAGIC: u32 = 0xea02_0000;
pub(super) const BLOCK_HEADER: usize = 32;
pub(super) const ENTRY_HEADER: usize = 16;

/// Known name spaces: prefix and index. An exact name comes before the prefix it starts with.
pub(super) const PREFIXES: [(&[u8], u8); 6] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
    (b"system.", 7),
];

/// The end of an inode, ready to be written.
pub(super) type Tail = Box<[u8; TAIL]>;

/// Attributes of one file in disk form.
#[derive(Default)]
pub(super) struct Encoded {
    pub(super) tail: Option<Tail>,
    pub(super) block: Option<Box<[u8; BLOCK_SIZE]>>,
}

/// Why an attribute cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No file system of this kind has such a name space; extracting elsewhere would drop it too.
    NameSpace,
    /// Neither the inode nor the block has room.
    Room,
    /// The value of an ACL is not one.
    Acl,
    /// The name is empty or over 255 bytes.
    Name,
}

struct Attribute {
    index: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// A set of attributes on its way to disk.
#[derive(Default)]
pub(super) struct Set(Vec<Attribute>);

impl Set {
    /// Add an attribute by its full name.
    pub(super) fn insert(&mut self, full_name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let (prefix, index) = *PREFIXES
            .iter()
            .find(|(prefix, index)| match index {
                2 | 3 => full_name == *prefix,
                _ => full_name.starts_with(prefix),
            })
            .ok_or(Refusal::NameSpace)?;
        let name = full_name[prefix.len()..].to_vec();
        let is_acl = matches!(index, 2 | 3);
        if name.len() > 255 || name.is_empty() && !is_acl {
            return Err(Refusal::Name);
        }
        let value = if is_acl { acl_to_disk(value).ok_or(Refusal::Acl)? } else { value.to_vec() };
        self.0.retain(|known| known.index != index || known.name != name);
        self.0.push(Attribute { index, name, value });
        Ok(())
    }

    /// Place every attribute: in the inode while there is room, the rest in one block.
    pub(super) fn encode(mut self) -> Result<Encoded, Refusal> {
        if self.0.is_empty() {
            return Ok(Encoded::default());
        }
        // The kernel finds names in a block by bisection in this order.
        self.0.sort_by(|a, b| (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name)));
        let mut room = TAIL - 4 - 4;
        let (inner, outer): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|attribute| {
            let fits = attribute.size() <= room;
            room -= if fits { attribute.size() } else { 0 };
            fits
        });
        if outer.iter().map(Attribute::size).sum::<usize>() > BLOCK_SIZE - BLOCK_HEADER - 4 {
            return Err(Refusal::Room);
        }
        Ok(Encoded {
            tail: (!inner.is_empty()).then(|| Box::new(encode_tail(&inner))),
            block: (!outer.is_empty()).then(|| encode_block(&outer)),
        })
    }
}

impl Attribute {
    fn size(&self) -> usize {
        (ENTRY_HEADER + self.name.len()).next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }

    fn hash(&self) -> u32 {
        let name = self.name.iter().fold(0u32, |hash, &c| hash.rotate_left(5) ^ u32::from(c));
        self.value.chunks(4).fold(name, |hash, chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

fn encode_tail(attributes: &[Attribute]) -> [u8; TAIL] {
    let mut tail = [0; TAIL];
    put32(&mut tail[..], 0, MAGIC);
    // Values are found by their distance from the first entry.
    write_entries(&mut tail[4..], 0, attributes);
    tail
}

fn encode_block(attributes: &[Attribute]) -> Box<[u8; BLOCK_SIZE]> {
    let mut block = Box::new([0; BLOCK_SIZE]);
    put32(&mut block[..], 0, MAGIC);
    put32(&mut block[..], 4, 1);
    put32(&mut block[..], 8, 1);
    let hash = attributes.iter().map(Attribute::hash).collect::<Vec<_>>();
    // One entry without a hash means a block that cannot be shared.
    let shareable = !hash.contains(&0);
    let whole =
        if shareable { hash.iter().fold(0u32, |whole, hash| whole.rotate_left(16) ^ hash) } else { 0 };
    put32(&mut block[..], 12, whole);
    write_entries(&mut block[..], BLOCK_HEADER, attributes);
    block
}

/// Entries from `start` upwards, values from the end downwards.
fn write_entries(area: &mut [u8], start: usize, attributes: &[Attribute]) {
    let (mut entry, mut end) = (start, area.len());
    for attribute in attributes {
        let length = attribute.value.len();
        if length > 0 {
            end -= length.next_multiple_of(4);
            area[end..end + length].copy_from_slice(&attribute.value);
            put16(area, entry + 2, end as u16);
        }
        area[entry] = attribute.name.len() as u8;
        area[entry + 1] = attribute.index;
        put32(area, entry + 8, length as u32);
        put32(area, entry + 12, attribute.hash());
        let name_at = entry + ENTRY_HEADER;
        area[name_at..name_at + attribute.name.len()].copy_from_slice(&attribute.name);
        entry = (name_at + attribute.name.len()).next_multiple_of(4);
    }
}

/// Tags of the entries of an ACL that name a user or a group.
const NAMED: [u16; 2] = [0x02, 0x08];

/// POSIX ACL: the form of the system calls (version 2, every entry with an id) into the form on disk (version 1, an id
/// only for named users and groups).
fn acl_to_disk(value: &[u8]) -> Option<Vec<u8>> {
    let entries = value.strip_prefix(&2u32.to_le_bytes())?;
    if entries.len() % 8 != 0 {
        return None;
    }
    let mut disk = 1u32.to_le_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        disk.extend_from_slice(if NAMED.contains(&tag) { entry } else { &entry[..4] });
    }
    Some(disk)
}

/// The way back.
pub(super) fn acl_from_disk(value: &[u8]) -> Option<Vec<u8>> {
    let mut entries = value.strip_prefix(&1u32.to_le_bytes())?;
    let mut list = 2u32.to_le_bytes().to_vec();
    while !entries.is_empty() {
        let tag = u16::from_le_bytes([*entries.first()?, *entries.get(1)?]);
        let length = if NAMED.contains(&tag) { 8 } else { 4 };
        list.extend_from_slice(entries.get(..length)?);
        if length == 4 {
            list.extend_from_slice(&u32::MAX.to_le_bytes());
        }
        entries = &entries[length..];
    }
    Some(list)
}
