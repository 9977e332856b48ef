//! Reading ext4 without mounting it: on every operating system, and on any bytes without panicking, looping or taking more
//! memory than they fill.
//!
//! Understood: extents, holes, inline data, linear and hashed directories, attributes in inode and block, 64-bit file
//! systems, block sizes from 1 to 64 KiB. A journal that a machine left behind is replayed in memory, the disk is never
//! written. Refused with [`ReadError::Unsupported`]: block maps of ext2 and ext3, encrypted files, attributes in inodes of
//! their own, external journals, fast commits.
//!
//! ```no_run
//! use std::io::{self, Read};
//! use lcow_disk::ext4::reader::Reader;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut disk = Reader::open(std::fs::File::open("scratch.img")?)?;
//! let passwd = disk.resolve(b"/etc/passwd")?;
//! io::copy(&mut disk.file(passwd)?, &mut io::stdout())?;
//! for entry in disk.read_dir(disk.root())? {
//!     println!("{} {:o}", String::from_utf8_lossy(&entry.name), disk.metadata(entry.inode)?.mode);
//! }
//! # Ok(())
//! # }
//! ```
mod blocks;
mod directory;
mod error;
mod extents;
mod file;
mod inode;
mod journal;
mod superblock;
mod xattr;

use std::io::{Read, Seek};

pub use directory::DirEntry;
pub use error::ReadError;
pub use file::File;
pub use inode::{FileType, Metadata};

use self::blocks::Blocks;
use self::inode::Inode;
use super::layout::ROOT_INODE;

/// Extended attributes: full names and values.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// A file system on `D`.
#[derive(Debug)]
pub struct Reader<D> {
    blocks: Blocks<D>,
}

impl<D: Read + Seek> Reader<D> {
    /// Read the superblock at the start of `disk`, and the journal if it has to be replayed.
    pub fn open(disk: D) -> Result<Self, ReadError> {
        let mut reader = Self { blocks: Blocks::open(disk)? };
        if reader.blocks.geometry.needs_recovery {
            let journal = reader.blocks.geometry.journal;
            let inode = reader.inode(journal)?;
            let extents = extents::all(&mut reader.blocks, &inode)?;
            let updates = journal::replay(&mut reader.blocks, &extents)?;
            reader.blocks.set_updates(updates);
        }
        Ok(reader)
    }

    /// The number of the root directory.
    pub fn root(&self) -> u32 {
        ROOT_INODE
    }

    /// Whether it was unmounted properly, or its journal made up for that. Otherwise names and contents may be missing.
    pub fn is_clean(&self) -> bool {
        self.blocks.geometry.clean || self.blocks.geometry.needs_recovery
    }

    /// UUID of the file system.
    pub fn uuid(&self) -> [u8; 16] {
        self.blocks.geometry.uuid
    }

    /// Size of the file system in bytes.
    pub fn size(&self) -> u64 {
        self.blocks.geometry.bytes()
    }

    /// What an inode says about itself.
    pub fn metadata(&mut self, inode: u32) -> Result<Metadata, ReadError> {
        self.inode(inode)?.metadata()
    }

    /// The inode at `path` from the root on. Symbolic links are not followed; `.` and empty parts mean nothing.
    pub fn resolve(&mut self, path: &[u8]) -> Result<u32, ReadError> {
        let mut current = ROOT_INODE;
        for part in path.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            let found = self.lookup(current, part)?;
            current = found
                .ok_or_else(|| ReadError::NotFound { path: String::from_utf8_lossy(path).into_owned() })?;
        }
        Ok(current)
    }

    /// The inode that a directory has under `name`; `..` is the parent.
    pub fn lookup(&mut self, directory: u32, name: &[u8]) -> Result<Option<u32>, ReadError> {
        let inode = self.inode(directory)?;
        let mut found = None;
        directory::walk(&mut self.blocks, &inode, |entry, inode| {
            if entry == name {
                found = Some(inode);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// What is in a directory, without `.` and `..`, in the order of the disk.
    pub fn read_dir(&mut self, directory: u32) -> Result<Vec<DirEntry>, ReadError> {
        let inode = self.inode(directory)?;
        let mut entries = Vec::new();
        directory::walk(&mut self.blocks, &inode, |name, inode| {
            if !matches!(name, b"." | b"..") {
                entries.push(DirEntry { name: name.to_vec(), inode });
            }
            true
        })?;
        Ok(entries)
    }

    /// The bytes of a regular file.
    pub fn file(&mut self, inode: u32) -> Result<File<'_, D>, ReadError> {
        let inode = self.inode(inode)?;
        if inode.file_type() != Some(FileType::File) {
            return Err(ReadError::Kind { inode: inode.number, expected: "regular file" });
        }
        File::new(&mut self.blocks, &inode)
    }

    /// The target of a symbolic link.
    pub fn read_link(&mut self, inode: u32) -> Result<Vec<u8>, ReadError> {
        let inode = self.inode(inode)?;
        if inode.file_type() != Some(FileType::Symlink) {
            return Err(ReadError::Kind { inode: inode.number, expected: "symbolic link" });
        }
        file::link_target(&mut self.blocks, &inode)
    }

    /// Extended attributes: full names and values, access control lists in the form of the system calls.
    pub fn xattrs(&mut self, inode: u32) -> Result<Xattrs, ReadError> {
        let inode = self.inode(inode)?;
        xattr::all(&mut self.blocks, &inode)
    }

    fn inode(&mut self, number: u32) -> Result<Inode, ReadError> {
        Inode::read(&mut self.blocks, number)
    }
}
