//! A file in the VM that gets a copy of init's output (spec section 7.8, step 4).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::below;
use crate::container::{Error, annotations, guest_path};

/// Where the copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::container) struct TeeLog {
    /// Containers may write here, so what lies in it is not trusted.
    directory: PathBuf,
    path: PathBuf,
}

impl TeeLog {
    /// Opens the file for appending, inside its directory whatever links are in it.
    pub(in crate::container) fn open(&self) -> io::Result<File> {
        guest_path::append_in(&self.directory, &self.path)
    }
}

/// The copy that an annotation asks for.
pub(in crate::container) fn tee_log(spec: &Value, logs: &Path) -> Result<Option<TeeLog>, Error> {
    let Some(name) = annotations::text(spec, annotations::TEE_PATH) else { return Ok(None) };
    let path = below(logs, name)?;
    if path == logs {
        return Err(Error::Invalid(format!("{name:?} names no log")));
    }
    crate::storage::create_open_directory(path.parent().unwrap_or(logs))?;
    let path = path.strip_prefix(logs).unwrap_or(&path).to_owned();
    Ok(Some(TeeLog { directory: logs.to_owned(), path }))
}
