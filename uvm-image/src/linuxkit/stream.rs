//! The build's one stream: a tar in a file, each of whose entries says where it comes from.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use lcow_disk::tar::{Entry, Timestamp, Writer};

use super::paths;
use crate::progress::Task;

/// The time of everything that comes from no image: 2017-04-18T16:30:00Z, LinuxKit's choice.
pub const MADE: i64 = 1_492_533_000;

/// Where an entry comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The image, `linuxkit.files` or `linuxkit.volumes`.
    pub source: String,
    /// The place in the description: `init[0]`.
    pub location: String,
}

impl Origin {
    /// From `source` at `list[at]`.
    pub fn new(source: &str, list: &str, at: usize) -> Self {
        Self { source: source.to_owned(), location: format!("{list}[{at}]") }
    }
}

/// The stream while it is written.
pub struct Stream {
    tar: Writer<BufWriter<File>>,
    /// What is there.
    paths: HashSet<Vec<u8>>,
    latest: Option<i64>,
    attributes: usize,
    sizes: BTreeMap<String, u64>,
    task: Task,
}

impl Stream {
    /// An empty stream in a temporary file; no time in it is after `latest`, in seconds since 1970. `task` hears of its bytes.
    pub fn new(latest: Option<i64>, task: Task) -> io::Result<Self> {
        let tar = Writer::new(BufWriter::with_capacity(1 << 20, tempfile::tempfile()?));
        Ok(Self { tar, paths: HashSet::new(), latest, attributes: 0, sizes: BTreeMap::new(), task })
    }

    /// Appends an entry and its data.
    pub fn entry(&mut self, origin: &Origin, mut entry: Entry, data: impl Read) -> io::Result<()> {
        if let Some(latest) = self.latest.filter(|latest| entry.mtime.seconds >= *latest) {
            entry.mtime = Timestamp { seconds: latest, nanoseconds: 0 };
        }
        (entry.atime, entry.ctime) = (None, None);
        self.attributes += usize::from(!entry.xattrs.is_empty());
        self.paths.insert(entry.path.clone());
        if !self.sizes.contains_key(&origin.source) {
            self.sizes.insert(origin.source.clone(), 0);
        }
        if let Some(size) = self.sizes.get_mut(&origin.source) {
            *size += entry.size;
        }
        self.task.add(entry.size);
        let records = [("LINUXKIT.source", &origin.source[..]), ("LINUXKIT.location", &origin.location)];
        self.tar.append_with(&entry, &records, data)
    }

    /// Appends something without data that comes from no image.
    pub fn made(&mut self, origin: &Origin, entry: Entry) -> io::Result<()> {
        self.entry(origin, Entry { mtime: Timestamp { seconds: MADE, nanoseconds: 0 }, ..entry }, io::empty())
    }

    /// Appends a directory.
    pub fn directory(&mut self, origin: &Origin, path: &str) -> io::Result<()> {
        self.made(origin, Entry::directory(path, 0o755))
    }

    /// Appends a file that comes from no image.
    pub fn file(&mut self, origin: &Origin, path: &str, mode: u16, bytes: &[u8]) -> io::Result<()> {
        let mtime = Timestamp { seconds: MADE, nanoseconds: 0 };
        self.entry(origin, Entry { mtime, ..Entry::file(path, mode, bytes.len() as u64) }, bytes)
    }

    /// Appends the directories above `path` that are not there yet.
    pub fn parents(&mut self, origin: &Origin, path: &[u8]) -> io::Result<()> {
        for parent in paths::parents(path) {
            if !self.paths.contains(parent) {
                self.made(origin, Entry::directory(parent, 0o755))?;
            }
        }
        Ok(())
    }

    /// Whether something is at `path`.
    pub fn contains(&self, path: &str) -> bool {
        self.paths.contains(path.as_bytes())
    }

    /// All that is there now.
    pub fn paths(&self) -> HashSet<Vec<u8>> {
        self.paths.clone()
    }

    /// Bytes of all files by what they come from.
    pub fn sizes(&self) -> &BTreeMap<String, u64> {
        &self.sizes
    }

    /// How many entries have extended attributes.
    pub fn attributes(&self) -> usize {
        self.attributes
    }

    /// Ends the stream; the file is to be read from its beginning.
    pub fn finish(self) -> io::Result<File> {
        let mut file = self.tar.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.flush()?;
        file.rewind()?;
        Ok(file)
    }
}
