//! A file system, or a directory of one, as a tar stream.
//!
//! [`Form::Layer`] turns the upper directory of an overlay into a layer (OCI image-spec, "Representing Changes"): removed
//! names become `.wh.NAME`, opaque directories get `.wh..wh..opq`, and what overlayfs wrote for itself is left out.
//!
//! ```no_run
//! use lcow_disk::ext4::{export::{self, Form}, reader::Reader};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut scratch = Reader::open(std::fs::File::open("scratch.img")?)?;
//! let upper = scratch.resolve(b"/upper")?;
//! export::write(&mut scratch, upper, Form::Layer, std::io::stdout().lock())?;
//! # Ok(())
//! # }
//! ```
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek, Write};

use super::reader::{FileType, Metadata, ReadError, Reader, Xattrs};
use crate::tar::{Entry, Kind, Writer};

/// What the stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A layer: overlayfs' marks become whiteouts.
    Layer,
    /// The files as they are.
    Plain,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportStats {
    /// Entries of the archive.
    pub entries: u64,
    /// Sockets, which archives cannot hold, and which mean nothing without their process.
    pub skipped_sockets: u64,
}

/// Why a stream cannot be made. Paths have bytes outside UTF-8 replaced.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system cannot be read.
    #[error("reading {path:?}")]
    Read {
        /// What was being read.
        path: String,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// The archive cannot be written, or a file ends early.
    #[error("writing {path:?} to the archive")]
    Write {
        /// What was being written.
        path: String,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// Overlayfs was mounted in a way that leaves parts of a file in other layers.
    #[error("{path:?} is only a part of a file (overlayfs {feature}): the layers below would be needed")]
    Incomplete {
        /// Which file.
        path: String,
        /// `metacopy` or `redirect_dir`.
        feature: &'static str,
    },
    /// A name means something else in a layer.
    #[error("{path:?} cannot be part of a layer: names that start with .wh. are whiteouts there")]
    Whiteout {
        /// The name.
        path: String,
    },
}

const OVERLAY: &[u8] = b"trusted.overlay.";

/// Write `directory` of `disk`, without itself, to `out`. Names are sorted, so that equal trees give equal streams.
pub fn write<D: Read + Seek, W: Write>(
    disk: &mut Reader<D>,
    directory: u32,
    form: Form,
    out: W,
) -> Result<ExportStats, ExportError> {
    let mut export = Export {
        disk,
        tar: Writer::new(out),
        form,
        names: HashMap::new(),
        entered: HashSet::new(),
        stats: ExportStats::default(),
    };
    let mut waiting = Vec::new();
    export.children(directory, b"", &mut waiting)?;
    while let Some((path, inode)) = waiting.pop() {
        if export.node(&path, inode)? {
            export.children(inode, &path, &mut waiting)?;
        }
    }
    let fault = |source| ExportError::Write { path: "the end".into(), source };
    export.tar.finish().map_err(fault)?;
    Ok(export.stats)
}

struct Export<'a, D, W> {
    disk: &'a mut Reader<D>,
    tar: Writer<W>,
    form: Form,
    /// First names of files with several.
    names: HashMap<u32, Vec<u8>>,
    /// Directories whose names were listed, and files with one name: a damaged disk may have circles, and name a file without
    /// end.
    entered: HashSet<u32>,
    stats: ExportStats,
}

impl<D: Read + Seek, W: Write> Export<'_, D, W> {
    /// Put the names of a directory on the stack, the first one on top.
    fn children(
        &mut self,
        directory: u32,
        path: &[u8],
        waiting: &mut Vec<(Vec<u8>, u32)>,
    ) -> Result<(), ExportError> {
        if !self.entered.insert(directory) {
            let reason = "has two names";
            let source = ReadError::Corrupt { part: "directory", number: directory.into(), reason };
            return Err(read_error(path)(source));
        }
        let mut entries = self.disk.read_dir(directory).map_err(read_error(path))?;
        entries.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        for entry in entries {
            // What a file system check finds is no part of the tree.
            if directory == self.disk.root() && entry.name == b"lost+found" {
                continue;
            }
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            waiting.push(([path, slash, &entry.name].concat(), entry.inode));
        }
        Ok(())
    }

    /// Write one name; `true` if there is something below it.
    fn node(&mut self, path: &[u8], inode: u32) -> Result<bool, ExportError> {
        let metadata = self.disk.metadata(inode).map_err(read_error(path))?;
        let mut xattrs = self.disk.xattrs(inode).map_err(read_error(path))?;
        if self.form == Form::Layer {
            let marks = Marks::take(&mut xattrs, path)?;
            if metadata.is_whiteout() || marks.whiteout {
                self.mark(path, &metadata, |parent, name| [parent, b".wh.", name].concat())?;
                return Ok(false);
            }
            if base_name(path).1.starts_with(b".wh.") {
                return Err(ExportError::Whiteout { path: shown(path) });
            }
            self.entry(path, &metadata, xattrs)?;
            if marks.opaque {
                self.mark(path, &metadata, |parent, name| [parent, name, b"/.wh..wh..opq"].concat())?;
            }
        } else {
            self.entry(path, &metadata, xattrs)?;
        }
        Ok(metadata.file_type == FileType::Directory)
    }

    fn entry(&mut self, path: &[u8], metadata: &Metadata, xattrs: Xattrs) -> Result<(), ExportError> {
        let (major, minor) = metadata.device;
        let kind = match metadata.file_type {
            FileType::Directory => Kind::Directory,
            FileType::File => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharDevice => Kind::CharDevice(major, minor),
            FileType::BlockDevice => Kind::BlockDevice(major, minor),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => {
                self.stats.skipped_sockets += 1;
                return Ok(());
            }
        };
        let mut entry = Entry::new(path, kind, metadata.mode);
        (entry.uid, entry.gid, entry.mtime) = (metadata.uid, metadata.gid, metadata.mtime);
        if kind == Kind::Directory {
            entry.path.push(b'/');
        } else if metadata.links > 1 {
            if let Some(first) = self.names.get(&metadata.inode) {
                entry.link.clone_from(first);
                return self.append(&Entry { kind: Kind::HardLink, ..entry }, io::empty());
            }
            self.names.insert(metadata.inode, path.to_vec());
        } else if !self.entered.insert(metadata.inode) {
            let reason = "has more names than it counts";
            let source = ReadError::Corrupt { part: "inode", number: metadata.inode.into(), reason };
            return Err(read_error(path)(source));
        }
        entry.xattrs = xattrs;
        match kind {
            Kind::File => {
                entry.size = metadata.size;
                let file = self.disk.file(metadata.inode).map_err(read_error(path))?;
                self.stats.entries += 1;
                self.tar.append(&entry, file).map_err(write_error(path))
            }
            Kind::Symlink => {
                entry.link = self.disk.read_link(metadata.inode).map_err(read_error(path))?;
                self.append(&entry, io::empty())
            }
            _ => self.append(&entry, io::empty()),
        }
    }

    /// Write a whiteout: an empty file whose name says what is meant.
    fn mark(
        &mut self,
        path: &[u8],
        metadata: &Metadata,
        name: impl Fn(&[u8], &[u8]) -> Vec<u8>,
    ) -> Result<(), ExportError> {
        let (parent, base) = base_name(path);
        let mut entry = Entry::file(name(parent, base), 0o600, 0);
        entry.mtime = metadata.mtime;
        self.append(&entry, io::empty())
    }

    fn append(&mut self, entry: &Entry, data: impl Read) -> Result<(), ExportError> {
        self.stats.entries += 1;
        self.tar.append(entry, data).map_err(write_error(&entry.path))
    }
}

/// What overlayfs says about a file (kernel `Documentation/filesystems/overlayfs.rst`).
#[derive(Default)]
struct Marks {
    opaque: bool,
    whiteout: bool,
}

impl Marks {
    /// Take overlayfs' own attributes out of `xattrs`.
    fn take(xattrs: &mut Xattrs, path: &[u8]) -> Result<Self, ExportError> {
        let mut marks = Self::default();
        for (name, value) in xattrs.iter() {
            match name.strip_prefix(OVERLAY) {
                Some(b"opaque") => marks.opaque = value == b"y",
                Some(b"whiteout") => marks.whiteout = true,
                Some(b"metacopy") => {
                    return Err(ExportError::Incomplete { path: shown(path), feature: "metacopy" });
                }
                Some(b"redirect") => {
                    return Err(ExportError::Incomplete { path: shown(path), feature: "redirect_dir" });
                }
                _ => {}
            }
        }
        xattrs.retain(|(name, _)| !name.starts_with(OVERLAY));
        Ok(marks)
    }
}

/// The part up to the last slash, with it, and the last name.
fn base_name(path: &[u8]) -> (&[u8], &[u8]) {
    let start = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    path.split_at(start)
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn read_error(path: &[u8]) -> impl Fn(ReadError) -> ExportError {
    move |source| ExportError::Read { path: shown(path), source }
}

fn write_error(path: &[u8]) -> impl Fn(io::Error) -> ExportError {
    move |source| ExportError::Write { path: shown(path), source }
}
