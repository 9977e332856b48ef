//! Debian packages: an `ar` archive whose member `data.tar*` holds the files (deb(5)).

use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::compression::Compression;

const AR_MAGIC: &[u8] = b"!<arch>\n";
const HEADER_LEN: usize = 60;

/// Why a file cannot be read as a Debian package.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The file cannot be read.
    #[error("cannot read the package {}", path.display())]
    Read {
        /// The package.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a Debian package: {reason}", path.display())]
    NotADeb {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        reason: &'static str,
    },
    /// The file ends inside a member.
    #[error("the package {} is truncated inside its member {member}: download it again", path.display())]
    Truncated {
        /// The package.
        path: PathBuf,
        /// The member's name.
        member: String,
    },
    /// The files' archive does not begin as a compressed stream does.
    #[error("cannot start to unpack the files of the package {}", path.display())]
    Data {
        /// The package.
        path: PathBuf,
        /// The decompressor's reason.
        source: io::Error,
    },
}

/// A Debian package in memory.
pub struct Deb {
    path: PathBuf,
    bytes: Vec<u8>,
    data: Range<usize>,
}

impl Deb {
    /// Reads the package at `path` and finds its files' archive.
    pub fn open(path: &Path) -> Result<Self, DebError> {
        let bytes = fs::read(path).map_err(|source| DebError::Read { path: path.to_owned(), source })?;
        let data = find_data(path, &bytes)?;
        Ok(Self { path: path.to_owned(), bytes, data })
    }

    /// The package's files as an uncompressed tar stream.
    pub fn data(&self) -> Result<Box<dyn Read + '_>, DebError> {
        let packed = &self.bytes[self.data.clone()];
        Compression::detect(packed)
            .parallel_reader(packed)
            .map_err(|source| DebError::Data { path: self.path.clone(), source })
    }
}

/// Where the member `data.tar*` lies in the archive.
fn find_data(path: &Path, bytes: &[u8]) -> Result<Range<usize>, DebError> {
    let not_a_deb = |reason| DebError::NotADeb { path: path.to_owned(), reason };
    if !bytes.starts_with(AR_MAGIC) {
        return Err(not_a_deb("it does not begin as an ar archive does"));
    }
    let mut at = AR_MAGIC.len();
    let mut first = true;
    while at < bytes.len() {
        let header = bytes
            .get(at..at + HEADER_LEN)
            .ok_or_else(|| DebError::Truncated { path: path.to_owned(), member: "list".into() })?;
        let (name, size) = parse_header(header).ok_or_else(|| not_a_deb("a member's header is malformed"))?;
        if first && name != "debian-binary" {
            return Err(not_a_deb("its first member is not debian-binary"));
        }
        first = false;
        let start = at + HEADER_LEN;
        let end = start.saturating_add(size);
        if end > bytes.len() {
            return Err(DebError::Truncated { path: path.to_owned(), member: name });
        }
        if name.starts_with("data.tar") {
            return Ok(start..end);
        }
        at = end + size % 2; // members begin at even offsets
    }
    Err(not_a_deb("it has no member data.tar"))
}

/// Name and size in an `ar` member header (ar(5): name 16, date 12, uid 6, gid 6, mode 8, size 10, magic 2).
fn parse_header(header: &[u8]) -> Option<(String, usize)> {
    if &header[58..60] != b"`\n" {
        return None;
    }
    let text = |range: Range<usize>| std::str::from_utf8(&header[range]).ok().map(str::trim_end);
    let name = text(0..16)?.trim_end_matches('/').to_owned();
    Some((name, text(48..58)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn open(bytes: &[u8]) -> Result<Deb, DebError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.deb");
        fs::write(&path, bytes).unwrap();
        Deb::open(&path)
    }

    #[test]
    fn finds_the_files() {
        let deb = open(&testing::deb(&[("boot/config-1", b"CONFIG_X=y\n")])).unwrap();
        let mut archive = tar::Archive::new(deb.data().unwrap());
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            names.push(entry.unwrap().path().unwrap().display().to_string());
        }
        assert_eq!(names, ["boot/config-1"]);
    }

    #[test]
    fn a_truncated_package_names_the_member() {
        let whole = testing::deb(&[("boot/config-1", b"CONFIG_X=y\n")]);
        let error = open(&whole[..whole.len() - 10]).err().unwrap().to_string();
        assert!(error.contains("truncated inside its member data.tar.xz"), "{error}");
        let error = open(&whole[..90]).err().unwrap().to_string();
        assert!(error.contains("truncated"), "{error}");
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [&b""[..], b"PK\x03\x04", b"!<arch>\n", b"\x7fELF"] {
            let error = open(bytes).err().unwrap().to_string();
            assert!(error.contains("is not a Debian package"), "{error}");
        }
    }
}
