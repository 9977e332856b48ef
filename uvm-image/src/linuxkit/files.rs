//! The description's own files.

use std::fs;
use std::io;
use std::path::PathBuf;

use lcow_disk::tar::{Entry, Kind};
use serde_json::Value;

use super::config::File;
use super::ids::{Ids, UnknownId};
use super::stream::{MADE, Origin, Stream};

/// Why a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It has no path.
    #[error("files.{0}: did not specify path for file")]
    NoPath(usize),
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

/// Writes `file`, number `at`, to `out`; `document` is the whole description.
pub fn add(at: usize, file: &File, ids: &Ids, document: &Value, out: &mut Stream) -> Result<(), FileError> {
    let path = file.path.strip_prefix('/').unwrap_or(&file.path);
    if path.is_empty() {
        return Err(FileError::NoPath(at));
    }
    let Some((mut entry, bytes)) = content(path, file, document)? else { return Ok(()) };
    let origin = Origin::new("linuxkit.files", "files", at);
    entry.mode = mode(path, file)?;
    entry.uid = ids.number(file.uid.as_ref())?;
    entry.gid = ids.number(file.gid.as_ref())?;
    entry.mtime.seconds = MADE;
    out.parents(&origin, path)?;
    Ok(out.entry(&origin, entry, &bytes[..])?)
}

/// What it is and what is in it; `None` if it is left out.
fn content(path: &str, file: &File, document: &Value) -> Result<Option<(Entry, Vec<u8>)>, FileError> {
    let given = [&file.contents, &file.source, &file.symlink, &file.metadata];
    let given = given.iter().filter(|one| one.is_some()).count();
    if file.directory && given > 0 {
        return Err(FileError::DirectoryWithContents(path.to_owned()));
    }
    if file.directory {
        return Ok(Some((Entry::directory(path, 0), Vec::new())));
    }
    if given > 1 {
        return Err(FileError::Several(path.to_owned()));
    }
    let bytes = if let Some(target) = &file.symlink {
        return Ok(Some((Entry::symlink(path, target.as_str()), Vec::new())));
    } else if let Some(text) = &file.contents {
        text.clone().into_bytes()
    } else if let Some(kind) = &file.metadata {
        match kind.as_str() {
            "yaml" => yaml(document)?.into_bytes(),
            "json" => document.to_string().into_bytes(),
            _ => return Err(FileError::Metadata { path: path.to_owned(), kind: kind.clone() }),
        }
    } else if let Some(from) = &file.source {
        let from = match (from.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => PathBuf::from(from),
        };
        match fs::read(&from) {
            Ok(bytes) => bytes,
            Err(_) if file.optional => return Ok(None),
            Err(source) => return Err(FileError::Source { path: path.to_owned(), from, source }),
        }
    } else {
        return Err(FileError::Nothing(path.to_owned()));
    };
    Ok(Some((Entry::file(path, 0, bytes.len() as u64), bytes)))
}

fn mode(path: &str, file: &File) -> Result<u16, FileError> {
    let Some(text) = &file.mode else {
        let kind = if file.symlink.is_some() { Kind::Symlink } else { Kind::File };
        return Ok(match kind {
            Kind::Symlink => 0o777,
            _ if file.directory => 0o700,
            _ => 0o600,
        });
    };
    let mode = u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| FileError::Mode { path: path.to_owned(), mode: text.clone() })
}
