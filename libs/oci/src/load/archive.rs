//! Parts of a directory or a tar by name, without unpacking.
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use lcow_disk::tar::{Kind, Reader};
use serde::de::DeserializeOwned;

use super::LoadError;
use crate::store::Store;
use crate::{Compression, Digest};

const MAX_DOCUMENT: u64 = 16 << 20;
const MAX_LINKS: u32 = 8;

/// An opened archive.
pub(super) enum Archive {
    Directory(PathBuf),
    Tar {
        path: PathBuf,
        members: HashMap<String, Member>,
        /// The unpacked form of a packed archive, until the end.
        _unpacked: Option<tempfile::NamedTempFile>,
    },
}

/// A part of a tar.
pub(super) enum Member {
    Data { offset: u64, size: u64 },
    Link(String),
}

impl Archive {
    /// Open `path`; a packed tar is unpacked into the store's temporary directory.
    pub(super) fn open(path: &Path, store: &Store) -> Result<Self, LoadError> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let fault = |source| LoadError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(fault)?;
        let mut start = [0; 4];
        let length = read_up_to(&mut file, &mut start).map_err(fault)?;
        let compression = Compression::detect(&start[..length]);
        file.seek(SeekFrom::Start(0)).map_err(fault)?;
        if compression == Compression::None {
            return Ok(Self::Tar { path: path.to_owned(), members: list(path)?, _unpacked: None });
        }
        let mut unpacked = store.temporary()?;
        let mut reader = compression.reader(file).map_err(fault)?;
        io::copy(&mut reader, unpacked.as_file_mut()).map_err(fault)?;
        let members = list(unpacked.path())?;
        Ok(Self::Tar { path: unpacked.path().to_owned(), members, _unpacked: Some(unpacked) })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Directory(root) => root.join(name).is_file(),
            Self::Tar { members, .. } => members.contains_key(name),
        }
    }

    /// Open a part; gives its size too.
    pub(super) fn member(&self, name: &str) -> Result<(Box<dyn Read>, u64), LoadError> {
        let missing = || LoadError::Missing { member: name.to_owned() };
        let clean = clean(name).ok_or_else(missing)?;
        match self {
            Self::Directory(root) => {
                let path = root.join(clean);
                let fault = |source: io::Error| match source.kind() {
                    io::ErrorKind::NotFound => missing(),
                    _ => LoadError::Read { path: path.clone(), source },
                };
                let file = File::open(&path).map_err(fault)?;
                let size = file.metadata().map_err(fault)?.len();
                Ok((Box::new(file), size))
            }
            Self::Tar { path, members, .. } => {
                let (offset, size) = resolve(members, clean).ok_or_else(missing)?;
                let fault = |source| LoadError::Read { path: path.clone(), source };
                let mut file = File::open(path).map_err(fault)?;
                file.seek(SeekFrom::Start(offset)).map_err(fault)?;
                Ok((Box::new(file.take(size)), size))
            }
        }
    }

    /// A small part as a whole.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, LoadError> {
        let (member, size) = self.member(name)?;
        let fault = |source| LoadError::Read { path: name.into(), source };
        if size > MAX_DOCUMENT {
            return Err(fault(io::Error::other("more than the 16 MiB allowed for a document")));
        }
        let mut bytes = Vec::new();
        member.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(fault)?;
        Ok(bytes)
    }

    pub(super) fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T, LoadError> {
        parse(name, &self.read(name)?)
    }

    /// A small blob of a layout, checked.
    pub(super) fn blob(&self, digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let name = blob_name(digest);
        let bytes = self.read(&name)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(LoadError::Damaged { member: digest.to_string(), found });
        }
        Ok(bytes)
    }
}

/// Where a layout keeps a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn parse<T: DeserializeOwned>(member: &str, bytes: &[u8]) -> Result<T, LoadError> {
    serde_json::from_slice(bytes).map_err(|source| LoadError::Json { member: member.to_owned(), source })
}

fn list(path: &Path) -> Result<HashMap<String, Member>, LoadError> {
    let fault = |source| LoadError::Tar { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let mut tar = Reader::new(BufReader::with_capacity(64 * 1024, file));
    let mut members = HashMap::new();
    while let Some(entry) = tar.next_entry().map_err(fault)? {
        let text = String::from_utf8_lossy(&entry.path).into_owned();
        let Some(name) = clean(&text) else { continue };
        let member = match entry.kind {
            Kind::File if entry.segments.is_none() => Member::Data { offset: tar.offset(), size: entry.size },
            Kind::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let target = String::from_utf8_lossy(&entry.link).into_owned();
                let Some(target) = clean(&format!("{folder}/{target}")) else { continue };
                Member::Link(target)
            }
            Kind::HardLink => match clean(&String::from_utf8_lossy(&entry.link)) {
                Some(target) => Member::Link(target),
                None => continue,
            },
            _ => continue,
        };
        members.insert(name, member);
    }
    Ok(members)
}

fn resolve(members: &HashMap<String, Member>, mut name: String) -> Option<(u64, u64)> {
    for _ in 0..MAX_LINKS {
        match members.get(&name)? {
            Member::Data { offset, size } => return Some((*offset, *size)),
            Member::Link(target) => name.clone_from(target),
        }
    }
    None
}

/// A name without `./`, `//` and `..`; `None` if it leaves the archive or is the archive itself.
fn clean(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            // A drive would lead out of a directory on Windows.
            _ if part.contains(':') => return None,
            _ => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

pub(super) fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}
