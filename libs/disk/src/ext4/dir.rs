//! Linear directory blocks (kernel `Documentation/filesystems/ext4/directory.rst`).
use super::inode::mode;
use super::layout::BLOCK_SIZE;
use crate::bytes::{put16, put32};

/// Longest name in bytes.
pub(super) const MAX_NAME: usize = 255;
const HEADER: usize = 8;

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) inode: u32,
    /// `i_mode` of that inode, for its type.
    pub(super) mode: u16,
    pub(super) text: &'a [u8],
}

/// Bytes the entry takes, header and alignment included.
pub(super) fn entry_size(name: &[u8]) -> usize {
    (HEADER + name.len()).next_multiple_of(4)
}

/// Fills one block with entries.
pub(super) struct Block {
    bytes: [u8; BLOCK_SIZE],
    used: usize,
    last: usize,
}

impl Block {
    pub(super) fn new() -> Self {
        Self { bytes: [0; BLOCK_SIZE], used: 0, last: 0 }
    }

    /// Append an entry; `false` if there is no room.
    pub(super) fn push(&mut self, entry: Name<'_>) -> bool {
        let size = entry_size(entry.text);
        if self.used + size > BLOCK_SIZE {
            return false;
        }
        let at = self.used;
        put32(&mut self.bytes, at, entry.inode);
        put16(&mut self.bytes, at + 4, size as u16);
        self.bytes[at + 6] = entry.text.len() as u8;
        self.bytes[at + 7] = file_type(entry.mode);
        self.bytes[at + HEADER..at + HEADER + entry.text.len()].copy_from_slice(entry.text);
        self.last = at;
        self.used = at + size;
        true
    }

    /// The block; its last entry, or an unused one, reaches to the end.
    pub(super) fn finish(mut self) -> [u8; BLOCK_SIZE] {
        put16(&mut self.bytes, self.last + 4, (BLOCK_SIZE - self.last) as u16);
        self.bytes
    }
}

/// All blocks of a directory without an index, `.` and `..` first.
pub(super) fn linear<'a>(
    inode: u32,
    parent: u32,
    entries: impl Iterator<Item = Name<'a>>,
    mut emit: impl FnMut(&[u8; BLOCK_SIZE]),
) {
    let mut block = Block::new();
    for entry in dots(inode, parent).into_iter().chain(entries) {
        if !block.push(entry) {
            emit(&std::mem::replace(&mut block, Block::new()).finish());
            block.push(entry);
        }
    }
    emit(&block.finish());
}

fn dots(inode: u32, parent: u32) -> [Name<'static>; 2] {
    [
        Name { inode, mode: mode::DIRECTORY, text: b"." },
        Name { inode: parent, mode: mode::DIRECTORY, text: b".." },
    ]
}

/// The type byte of an entry (feature `filetype`).
fn file_type(bits: u16) -> u8 {
    match bits & mode::TYPE {
        mode::FILE => 1,
        mode::DIRECTORY => 2,
        mode::CHAR => 3,
        mode::BLOCK => 4,
        mode::FIFO => 5,
        mode::SYMLINK => 7,
        _ => 0,
    }
}
