//! What is kept in memory of every file.
use std::collections::BTreeMap;

use crate::ext4::inode::{self, Attributes, Fixed, mode};
use crate::ext4::xattr::Tail;

/// An inode in use. Directories are encoded at the end, everything else when its entry has been read.
pub(super) struct Node {
    pub(super) fixed: Fixed,
    pub(super) tail: Option<Tail>,
    /// First block and number of blocks that belong to it alone.
    pub(super) blocks: (u32, u32),
    /// It stands for a removed name.
    pub(super) whiteout: bool,
}

impl Node {
    pub(super) fn mode(&self) -> u16 {
        inode::mode_of(&self.fixed)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.mode() & mode::TYPE == mode::DIRECTORY
    }

    pub(super) fn is_symlink(&self) -> bool {
        self.mode() & mode::TYPE == mode::SYMLINK
    }
}

/// What a name leads to.
#[derive(Clone, Copy)]
pub(super) struct Child {
    pub(super) inode: u32,
    /// The layer that brought the name, or named the directory again.
    pub(super) layer: u32,
}

/// A directory under construction.
pub(super) struct Directory {
    pub(super) parent: u32,
    pub(super) children: BTreeMap<Box<[u8]>, Child>,
    pub(super) attributes: Attributes,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Hides what lower layers have in it.
    pub(super) opaque: bool,
}
