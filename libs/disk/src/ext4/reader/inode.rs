//! Inodes.
use std::io::{Read, Seek};

use super::blocks::Blocks;
use super::error::{ReadError, corrupt};
use crate::bytes::{get, get16, get32};
use crate::ext4::inode::mode;
use crate::tar::Timestamp;

/// `i_flags`.
pub(super) const ENCRYPTED: u32 = 0x800;
pub(super) const EXTENTS: u32 = 0x8_0000;
pub(super) const INLINE_DATA: u32 = 0x1000_0000;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

/// What an inode says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its number.
    pub inode: u32,
    /// What it is.
    pub file_type: FileType,
    /// Permission bits, set-id and sticky bits (12 bits).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file, of a link's target, or of a directory's blocks.
    pub size: u64,
    /// Names.
    pub links: u16,
    /// Last modification.
    pub mtime: Timestamp,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Major and minor number of a device, else zeros.
    pub device: (u32, u32),
}

impl Metadata {
    /// A character device 0:0 stands for a name that overlayfs hides.
    pub fn is_whiteout(&self) -> bool {
        self.file_type == FileType::CharDevice && self.device == (0, 0)
    }
}

/// An inode's bytes.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) number: u32,
    pub(super) bytes: Vec<u8>,
}

impl Inode {
    pub(super) fn read<D: Read + Seek>(blocks: &mut Blocks<D>, number: u32) -> Result<Self, ReadError> {
        let geometry = &blocks.geometry;
        let fault = |reason| corrupt("inode", number, reason);
        if number == 0 || number > geometry.inodes {
            return Err(fault("the number is out of range"));
        }
        let block_size = blocks.block_size();
        let (inode_size, descriptor_size) = (geometry.inode_size, geometry.descriptor_size);
        let group = (number - 1) / geometry.inodes_per_group;
        let index = (number - 1) % geometry.inodes_per_group;
        let at = u64::from(group) * u64::from(descriptor_size);
        let descriptors = blocks.block(blocks.geometry.descriptors + at / block_size)?;
        let descriptor = &descriptors[(at % block_size) as usize..][..descriptor_size as usize];
        let high = if descriptor_size >= 64 { u64::from(get32(descriptor, 40)) << 32 } else { 0 };
        let table = high | u64::from(get32(descriptor, 8));
        let at = u64::from(index) * u64::from(inode_size);
        let block = table.checked_add(at / block_size).ok_or_else(|| fault("lies outside the disk"))?;
        let bytes = blocks.block(block)?[(at % block_size) as usize..][..inode_size as usize].to_vec();
        Ok(Self { number, bytes })
    }

    pub(super) fn metadata(&self) -> Result<Metadata, ReadError> {
        let b = &self.bytes[..];
        if get16(b, 26) == 0 {
            return Err(corrupt("inode", self.number, "has a name, but is not in use"));
        }
        let file_type =
            self.file_type().ok_or_else(|| corrupt("inode", self.number, "is of no known type"))?;
        Ok(Metadata {
            inode: self.number,
            file_type,
            mode: get16(b, 0) & 0o7777,
            uid: u32::from(get16(b, 2)) | u32::from(get16(b, 120)) << 16,
            gid: u32::from(get16(b, 24)) | u32::from(get16(b, 122)) << 16,
            size: self.size(),
            links: get16(b, 26),
            mtime: self.time(16, 136),
            atime: self.time(8, 140),
            ctime: self.time(12, 132),
            device: self.device(file_type),
        })
    }

    pub(super) fn file_type(&self) -> Option<FileType> {
        Some(match get16(&self.bytes, 0) & mode::TYPE {
            mode::FILE => FileType::File,
            mode::DIRECTORY => FileType::Directory,
            mode::SYMLINK => FileType::Symlink,
            mode::CHAR => FileType::CharDevice,
            mode::BLOCK => FileType::BlockDevice,
            mode::FIFO => FileType::Fifo,
            0xc000 => FileType::Socket,
            _ => return None,
        })
    }

    pub(super) fn size(&self) -> u64 {
        u64::from(get32(&self.bytes, 4)) | u64::from(get32(&self.bytes, 108)) << 32
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        get32(&self.bytes, 32) & flag != 0
    }

    /// `i_block`: extent tree, link target, device number or inline data.
    pub(super) fn body(&self) -> [u8; 60] {
        get(&self.bytes, 40)
    }

    pub(super) fn xattr_block(&self) -> u64 {
        u64::from(get32(&self.bytes, 104)) | u64::from(get16(&self.bytes, 118)) << 32
    }

    /// Bytes of the fields; what follows may hold extended attributes.
    pub(super) fn fixed_length(&self) -> usize {
        let extra = if self.bytes.len() > 130 { usize::from(get16(&self.bytes, 128)) } else { 0 };
        (128 + extra).min(self.bytes.len())
    }

    fn device(&self, file_type: FileType) -> (u32, u32) {
        if !matches!(file_type, FileType::CharDevice | FileType::BlockDevice) {
            return (0, 0);
        }
        let (old, new) = (get32(&self.bytes, 40), get32(&self.bytes, 44));
        if old != 0 {
            (old >> 8 & 0xff, old & 0xff)
        } else {
            (new >> 8 & 0xfff, new & 0xff | new >> 12 & !0xff)
        }
    }

    fn time(&self, at: usize, extra_at: usize) -> Timestamp {
        let low = i64::from(get32(&self.bytes, at).cast_signed());
        if self.fixed_length() < extra_at + 4 {
            return Timestamp { seconds: low, nanoseconds: 0 };
        }
        let extra = get32(&self.bytes, extra_at);
        let seconds = low + (i64::from(extra & 3) << 32);
        // Values over 999 999 999 can only be damage.
        Timestamp { seconds, nanoseconds: (extra >> 2).min(999_999_999) }
    }

    /// The size, unless no extent tree could map so many blocks.
    pub(super) fn size_or_fault(&self, block_size: u64) -> Result<u64, ReadError> {
        let size = self.size();
        if size > block_size << 32 {
            return Err(corrupt("inode", self.number, "has an impossible size"));
        }
        Ok(size)
    }
}
