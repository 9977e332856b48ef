//! Reading and writing tar streams: what a layer archive may hold, exactly, and nothing buffered but metadata.
//!
//! Formats: v7, ustar, GNU (long names, old sparse), PAX (POSIX.1-2001 `pax`, "ustar Interchange Format", with the
//! `SCHILY.xattr.*` records of star and the `GNU.sparse.*` records of GNU tar, versions 0.0, 0.1 and 1.0).
mod error;
mod header;
mod links;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use error::TarError;
pub use links::Links;
pub use reader::Reader;
pub use writer::Writer;

/// Bytes of a tar record; headers and data are padded to it.
pub const RECORD: usize = 512;

/// A moment: seconds since 1970 and nanoseconds within that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z, negative before it.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999 999 999, always counted forwards.
    pub nanoseconds: u32,
}

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its bytes follow.
    File,
    /// Another name for the entry called [`Entry::link`].
    HardLink,
    /// A symbolic link to [`Entry::link`].
    Symlink,
    /// A character device with its major and minor number.
    CharDevice(u32, u32),
    /// A block device with its major and minor number.
    BlockDevice(u32, u32),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One run of data in a sparse file; everything between runs is a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First byte of the run in the file.
    pub offset: u64,
    /// Bytes in the run.
    pub length: u64,
}

/// One member of the archive, with every extension applied.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name as the archive has it: not made relative, not cleaned.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Target of a symbolic or hard link, else empty.
    pub link: Vec<u8>,
    /// Permission bits, set-id and sticky bits (12 bits).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last modification.
    pub mtime: Timestamp,
    /// Last access, where the archive says so.
    pub atime: Option<Timestamp>,
    /// Last change of the inode, where the archive says so.
    pub ctime: Option<Timestamp>,
    /// Size of the file in bytes, holes included; zero for everything but files.
    pub size: u64,
    /// The data runs of a sparse file in ascending order; `None` when all of it is data.
    pub segments: Option<Vec<Segment>>,
    /// Extended attributes, full name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// An entry without data, owned by root, from 1970.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind, mode: u16) -> Self {
        Self {
            path: path.into(),
            kind,
            link: Vec::new(),
            mode,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            atime: None,
            ctime: None,
            size: 0,
            segments: None,
            xattrs: Vec::new(),
        }
    }

    /// A directory.
    pub fn directory(path: impl Into<Vec<u8>>, mode: u16) -> Self {
        Self::new(path, Kind::Directory, mode)
    }

    /// A regular file of `size` bytes.
    pub fn file(path: impl Into<Vec<u8>>, mode: u16, size: u64) -> Self {
        Self { size, ..Self::new(path, Kind::File, mode) }
    }

    /// A symbolic link to `target`.
    pub fn symlink(path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Self {
        Self { link: target.into(), ..Self::new(path, Kind::Symlink, 0o777) }
    }
}
