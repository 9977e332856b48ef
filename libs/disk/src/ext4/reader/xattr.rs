//! Extended attributes.
use std::io::{Read, Seek};

use super::Xattrs;
use super::blocks::Blocks;
use super::error::{ReadError, corrupt};
use super::inode::Inode;
use crate::bytes::{get16, get32};
use crate::ext4::xattr::{BLOCK_HEADER, ENTRY_HEADER, MAGIC, PREFIXES, acl_from_disk};

/// An attribute as it is on disk: index of its name space, name, value.
struct Attribute {
    index: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Inline data is continued in this attribute of the name space `system.`.
const DATA: (u8, &[u8]) = (7, b"data");

/// All attributes with their full names.
pub(super) fn all<D: Read + Seek>(blocks: &mut Blocks<D>, inode: &Inode) -> Result<Xattrs, ReadError> {
    let mut found = Vec::new();
    for attribute in raw(blocks, inode)? {
        if (attribute.index, &attribute.name[..]) == DATA {
            continue;
        }
        let prefix = PREFIXES.iter().find(|(_, index)| *index == attribute.index);
        let Some((prefix, index)) = prefix else {
            let what = format!("extended attributes of name space {}", attribute.index);
            return Err(ReadError::Unsupported { what });
        };
        let value = match index {
            2 | 3 => acl_from_disk(&attribute.value)
                .ok_or_else(|| corrupt("inode", inode.number, "a damaged access control list"))?,
            _ => attribute.value,
        };
        found.push(([prefix, &attribute.name[..]].concat(), value));
    }
    Ok(found)
}

/// What follows the first 60 bytes of inline data.
pub(super) fn inline_data<D: Read + Seek>(
    blocks: &mut Blocks<D>,
    inode: &Inode,
) -> Result<Vec<u8>, ReadError> {
    let found = raw(blocks, inode)?.into_iter().find(|found| (found.index, &found.name[..]) == DATA);
    Ok(found.map(|found| found.value).unwrap_or_default())
}

fn raw<D: Read + Seek>(blocks: &mut Blocks<D>, inode: &Inode) -> Result<Vec<Attribute>, ReadError> {
    let mut found = Vec::new();
    let tail = &inode.bytes[inode.fixed_length()..];
    if tail.len() > 4 && get32(tail, 0) == MAGIC {
        parse(&tail[4..], 0, inode.number, &mut found)?;
    }
    if inode.xattr_block() != 0 {
        let block = blocks.block(inode.xattr_block())?;
        if get32(block, 0) != MAGIC {
            return Err(corrupt("inode", inode.number, "its attribute block is none"));
        }
        parse(block, BLOCK_HEADER, inode.number, &mut found)?;
    }
    Ok(found)
}

/// Entries from `at` on; values are found by their distance from the start of `area`.
fn parse(area: &[u8], mut at: usize, inode: u32, found: &mut Vec<Attribute>) -> Result<(), ReadError> {
    let fault = || corrupt("inode", inode, "damaged extended attributes");
    while area.len() >= at + 4 && get32(area, at) != 0 {
        let entry = area.get(at..at + ENTRY_HEADER).ok_or_else(fault)?;
        let name_end = at + ENTRY_HEADER + usize::from(entry[0]);
        let name = area.get(at + ENTRY_HEADER..name_end).ok_or_else(fault)?.to_vec();
        if get32(entry, 4) != 0 {
            return Err(ReadError::Unsupported { what: "extended attributes in inodes of their own".into() });
        }
        let (offset, size) = (usize::from(get16(entry, 2)), get32(entry, 8) as usize);
        let value = match size {
            0 => Vec::new(),
            _ => area.get(offset..offset.saturating_add(size)).ok_or_else(fault)?.to_vec(),
        };
        found.push(Attribute { index: entry[1], name, value });
        at = name_end.next_multiple_of(4);
    }
    Ok(())
}
