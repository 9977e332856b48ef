//! The description's own files.

use std::fs;
use std::io;
use std::path::PathBuf;

use lcow_disk::tar::Entry;
use serde_json::Value;

use super::config::File;
use super::ids::{Ids, UnknownId};
use super::paths;
use super::places::At;
use super::stream::{MADE, Origin, Stream};

/// Why a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It has no path.
    #[error("did not specify path for file")]
    NoPath,
    /// It would be somewhere else.
    #[error("the path {0:?} cannot be in a root: it has .. or a NUL, or is longer than 4096 bytes")]
    Path(String),
    /// A directory has no contents.
    #[error("{0}: directory with contents not allowed")]
    DirectoryWithContents(String),
    /// Several things want to be in it.
    #[error("{0}: only one of contents, source, symlink and metadata can be given")]
    Several(String),
    /// It says nothing about what it is.
    #[error("{0}: one of directory, symlink, contents, source and metadata must be given")]
    Nothing(String),
    /// The permissions are no number.
    #[error("{path}: the mode {mode:?} is not an octal number up to 7777")]
    Mode {
        /// The file.
        path: String,
        /// What stands there.
        mode: String,
    },
    /// An unknown form.
    #[error("{path}: there is no metadata of the kind {kind:?}, only yaml and json")]
    Metadata {
        /// The file.
        path: String,
        /// What stands there.
        kind: String,
    },
    /// The description does not become YAML.
    #[error("cannot write the description as YAML: {0}")]
    Yaml(String),
    /// Its source cannot be read.
    #[error("{path}: cannot read its source {}", from.display())]
    Source {
        /// The file.
        path: String,
        /// The source.
        from: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its owner has no number.
    #[error(transparent)]
    Id(#[from] UnknownId),
    /// The stream cannot be written.
    #[error("cannot collect files in a temporary file in {}", std::env::temp_dir().display())]
    Write(#[from] io::Error),
}

/// Writes the description `document` as YAML.
pub fn yaml(document: &Value) -> Result<String, FileError> {
    serde_saphyr::to_string(document).map_err(|error| FileError::Yaml(error.to_string()))
}

/// Refuses what cannot be made of `file`, before anything takes time. Errors have their keys from the file on.
pub fn check(file: &File, ids: &Ids) -> Result<(), At<FileError>> {
    header(file, ids).map(drop)
}

/// Writes `file`, number `at`, to `out`; `document` is the whole description.
pub fn add(
    at: usize,
    file: &File,
    ids: &Ids,
    document: &Value,
    out: &mut Stream,
) -> Result<(), At<FileError>> {
    let mut entry = header(file, ids)?;
    let path = paths::text(&entry.path);
    let Some(bytes) = content(&path, file, document)? else { return Ok(()) };
    entry.size = bytes.len() as u64;
    let origin = Origin::new("linuxkit.files", "files", at);
    let written = out.parents(&origin, &entry.path);
    written.and_then(|()| out.entry(&origin, entry, &bytes[..])).map_err(|error| At::new(&[], error))
}

/// Everything of the entry but its content.
fn header(file: &File, ids: &Ids) -> Result<Entry, At<FileError>> {
    let path = paths::clean(file.path.as_bytes());
    let path = path.map_err(|_| At::new(&[&"path"], FileError::Path(file.path.clone())))?;
    if path.is_empty() {
        return Err(At::new(&[&"path"], FileError::NoPath));
    }
    let shown = || paths::text(&path);
    let given = [&file.contents, &file.source, &file.symlink, &file.metadata];
    let fault = match (file.directory, given.iter().filter(|one| one.is_some()).count()) {
        (true, 0) | (false, 1) => None,
        (true, _) => Some(FileError::DirectoryWithContents(shown())),
        (false, 0) => Some(FileError::Nothing(shown())),
        (false, _) => Some(FileError::Several(shown())),
    };
    if let Some(fault) = fault {
        return Err(At::new(&[], fault));
    }
    let number = |key: &str, id| ids.number(id).map_err(|error| At::new(&[&key], error));
    let (uid, gid) = (number("uid", file.uid.as_ref())?, number("gid", file.gid.as_ref())?);
    let mode = mode(&shown(), file).map_err(|error| At::new(&[&"mode"], error))?;
    if let Some(kind) = file.metadata.as_ref().filter(|kind| !matches!(kind.as_str(), "yaml" | "json")) {
        return Err(At::new(&[&"metadata"], FileError::Metadata { path: shown(), kind: kind.clone() }));
    }
    let mut entry = match &file.symlink {
        Some(target) => Entry::symlink(path, target.as_str()),
        None if file.directory => Entry::directory(path, 0),
        None => Entry::file(path, 0, 0),
    };
    (entry.mode, entry.uid, entry.gid, entry.mtime.seconds) = (mode, uid, gid, MADE);
    Ok(entry)
}

/// What is in it; `None` if it is left out.
fn content(path: &str, file: &File, document: &Value) -> Result<Option<Vec<u8>>, At<FileError>> {
    if let Some(text) = &file.contents {
        return Ok(Some(text.clone().into_bytes()));
    }
    if let Some(kind) = &file.metadata {
        let text = if kind == "json" { Ok(document.to_string()) } else { yaml(document) };
        return text.map(|text| Some(text.into_bytes())).map_err(|error| At::new(&[&"metadata"], error));
    }
    let Some(from) = &file.source else { return Ok(Some(Vec::new())) };
    let from = match (from.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(from),
    };
    match fs::read(&from) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) if file.optional => Ok(None),
        Err(source) => Err(At::new(&[&"source"], FileError::Source { path: path.to_owned(), from, source })),
    }
}

fn mode(path: &str, file: &File) -> Result<u16, FileError> {
    let Some(text) = &file.mode else {
        return Ok(match &file.symlink {
            Some(_) => 0o777,
            None if file.directory => 0o700,
            None => 0o600,
        });
    };
    let mode = u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| FileError::Mode { path: path.to_owned(), mode: text.clone() })
}
