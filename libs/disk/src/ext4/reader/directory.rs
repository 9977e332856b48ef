//! Directories. The inner nodes of hashed ones look like blocks without entries, so that all are read alike.
use std::io::{Read, Seek};

use super::blocks::Blocks;
use super::error::{ReadError, corrupt};
use super::inode::{self, FileType, Inode};
use super::{extents, xattr};
use crate::bytes::{get16, get32};

const HEADER: usize = 8;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name: any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// What it leads to.
    pub inode: u32,
}

/// Give every name to `visit` until it says `false`.
pub(super) fn walk<D: Read + Seek>(
    blocks: &mut Blocks<D>,
    inode: &Inode,
    mut visit: impl FnMut(&[u8], u32) -> bool,
) -> Result<(), ReadError> {
    if inode.file_type() != Some(FileType::Directory) {
        return Err(ReadError::Kind { inode: inode.number, expected: "directory" });
    }
    if inode.has(inode::INLINE_DATA) {
        return walk_inline(blocks, inode, visit);
    }
    let size = inode.size_or_fault(blocks.block_size())?;
    let count = size / blocks.block_size();
    let mut seen = 0;
    for run in extents::all(blocks, inode)? {
        for block in (run.logical..run.end().min(count)).zip(run.physical..) {
            seen += 1;
            if seen > blocks.geometry.blocks {
                return Err(corrupt("directory", inode.number, "has more blocks than the disk"));
            }
            let bytes = blocks.block(block.1)?;
            if !entries(bytes, inode.number, &mut visit)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn walk_inline<D: Read + Seek>(
    blocks: &mut Blocks<D>,
    inode: &Inode,
    mut visit: impl FnMut(&[u8], u32) -> bool,
) -> Result<(), ReadError> {
    let body = inode.body();
    // The first field is the parent; there are no entries for the dots.
    if !visit(b"..", get32(&body, 0)) || !entries(&body[4..], inode.number, &mut visit)? {
        return Ok(());
    }
    let rest = xattr::inline_data(blocks, inode)?;
    entries(&rest, inode.number, &mut visit).map(drop)
}

fn entries(
    mut area: &[u8],
    number: u32,
    visit: &mut impl FnMut(&[u8], u32) -> bool,
) -> Result<bool, ReadError> {
    let fault = |reason| corrupt("directory", number, reason);
    while area.len() >= HEADER {
        let inode = get32(area, 0);
        // In blocks of 64 KiB this number stands for the whole block.
        let length = match get16(area, 4) {
            0xffff | 0 if area.len() == 65536 => 65536,
            length => usize::from(length),
        };
        let name_length = usize::from(area[6]);
        if length < HEADER + name_length || length > area.len() || length % 4 != 0 {
            return Err(fault("an entry has an impossible length"));
        }
        let name = &area[HEADER..HEADER + name_length];
        if inode != 0 {
            if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
                return Err(fault("an entry has an impossible name"));
            }
            if !visit(name, inode) {
                return Ok(false);
            }
        }
        area = &area[length..];
    }
    Ok(true)
}
