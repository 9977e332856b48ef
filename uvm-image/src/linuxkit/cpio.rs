//! The stream as a cpio archive, hard links kept: all names of a file have one inode number and the number of names, the
//! last name has the data.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use lcow_disk::tar::{Entry, Kind, Reader, TarError};

use crate::newc::{self, Header, TRAILER, Type};

/// The number of the first entry, as LinuxKit counts.
const FIRST_INODE: u32 = 721;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum CpioError {
    /// The stream cannot be read again.
    #[error("cannot read the files that were collected")]
    Tar(#[from] TarError),
    /// Reading or writing fails.
    #[error("cannot write the cpio archive")]
    Io(#[from] io::Error),
    /// A hard link to nothing.
    #[error("{path} is a hard link to {target}, which is not there")]
    Dangling {
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
    /// A file of 4 GiB or more.
    #[error("{0} is too large for a cpio archive: 4 GiB or more")]
    Large(String),
}

/// An entry of the stream, and where its data begins.
struct Item {
    entry: Entry,
    data: u64,
}

/// The names of one file.
struct Names {
    inode: u32,
    count: u32,
    left: u32,
    /// The entry with the data.
    first: usize,
}

/// Writes the entries of the tar in `tar` that `wanted` lets pass; padded with zeros to 512 bytes.
pub fn write(tar: &mut File, out: &mut dyn Write, wanted: &dyn Fn(&[u8]) -> bool) -> Result<(), CpioError> {
    let items = read(tar, wanted)?;
    let (owners, mut files) = names(&items)?;
    let mut out = Counted { out, written: 0 };
    let mut buffer = vec![0; 1 << 18];
    for (item, owner) in items.iter().zip(&owners) {
        let Some(names) = files.get_mut(owner) else { continue };
        names.left -= 1;
        let source = &items[names.first];
        let size = if names.left == 0 { size_of(source)? } else { 0 };
        header(&mut out, &item.entry, &source.entry, (names.inode, names.count), size)?;
        if source.entry.kind == Kind::Symlink {
            out.write_all(&source.entry.link)?;
        } else if size > 0 {
            tar.seek(SeekFrom::Start(source.data))?;
            copy(tar, size as usize, &mut out, &mut buffer)?;
        }
        out.pad(4)?;
    }
    let inode = FIRST_INODE + u32::try_from(files.len()).unwrap_or_default();
    newc::header(&mut out, &Header { inode, ..Header::default() }, TRAILER)?;
    out.pad(512)?;
    Ok(out.out.flush()?)
}

/// Copies `left` bytes by way of `buffer`.
fn copy(tar: &mut File, mut left: usize, out: &mut impl Write, buffer: &mut [u8]) -> io::Result<()> {
    while left > 0 {
        let part = left.min(buffer.len());
        tar.read_exact(&mut buffer[..part])?;
        out.write_all(&buffer[..part])?;
        left -= part;
    }
    Ok(())
}

fn read(tar: &mut File, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Item>, CpioError> {
    tar.rewind()?;
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, &mut *tar));
    let mut items = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        if wanted(&entry.path) {
            items.push(Item { entry, data: reader.offset() });
        }
    }
    Ok(items)
}

/// For each entry the first entry of the same file, and for those the file's names.
fn names(items: &[Item]) -> Result<(Vec<usize>, HashMap<usize, Names>), CpioError> {
    let mut latest: HashMap<&[u8], usize> = HashMap::new();
    let mut owners = Vec::with_capacity(items.len());
    let mut files: HashMap<usize, Names> = HashMap::new();
    let mut inode = FIRST_INODE;
    for (at, Item { entry, .. }) in items.iter().enumerate() {
        let owner = if entry.kind == Kind::HardLink {
            *latest
                .get(&entry.link[..])
                .ok_or_else(|| CpioError::Dangling { path: text(&entry.path), target: text(&entry.link) })?
        } else {
            at
        };
        latest.insert(&entry.path, owner);
        owners.push(owner);
        let names = files.entry(owner).or_insert_with(|| {
            let names = Names { inode, count: 0, left: 0, first: at };
            inode += 1;
            names
        });
        names.count += 1;
        names.left += 1;
    }
    Ok((owners, files))
}

fn size_of(item: &Item) -> Result<u32, CpioError> {
    let size = match item.entry.kind {
        Kind::Symlink => item.entry.link.len() as u64,
        Kind::File => item.entry.size,
        _ => 0,
    };
    u32::try_from(size).map_err(|_| CpioError::Large(text(&item.entry.path)))
}

fn header(
    out: &mut impl Write,
    named: &Entry,
    entry: &Entry,
    (inode, count): (u32, u32),
    size: u32,
) -> io::Result<()> {
    let (kind, device) = match entry.kind {
        Kind::File | Kind::HardLink => (Type::Regular, (0, 0)),
        Kind::Symlink => (Type::Symlink, (0, 0)),
        Kind::CharDevice(major, minor) => (Type::CharDevice, (major, minor)),
        Kind::BlockDevice(major, minor) => (Type::BlockDevice, (major, minor)),
        Kind::Directory => (Type::Directory, (0, 0)),
        Kind::Fifo => (Type::Fifo, (0, 0)),
    };
    let header = Header {
        inode,
        kind,
        mode: entry.mode.into(),
        uid: entry.uid,
        gid: entry.gid,
        links: if entry.kind == Kind::Directory { 2 } else { count },
        mtime: u32::try_from(entry.mtime.seconds).unwrap_or_default(),
        size,
        on: (3, 1),
        device,
    };
    newc::header(out, &header, &named.path)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Knows how much went through it.
struct Counted<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Counted<'_> {
    fn pad(&mut self, to: u64) -> io::Result<()> {
        let zeros = usize::try_from(self.written.wrapping_neg() % to).unwrap_or_default();
        self.write_all(&[0; 512][..zeros])
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
