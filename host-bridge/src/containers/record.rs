//! What is written down about a container.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use lcow_oci::Digest;
use serde::{Deserialize, Serialize};

use super::{ContainerName, ContainersError};
use crate::layers::DiskKey;

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: ContainerName,
    /// Its image.
    pub image: String,
    /// Digest of the image's manifest. Records of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// The disks of its layers, which must not be deleted as long as it is there.
    #[serde(default)]
    pub layers: Vec<DiskKey>,
    /// What it runs.
    pub command: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Whether it goes when it ends.
    pub remove_at_end: bool,
    /// How far it had come when this was written.
    pub state: State,
}

/// How far a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum State {
    /// Its name is taken.
    Created,
    /// It was started.
    Running,
    /// It ended.
    Exited {
        /// How.
        status: u8,
    },
}

impl Record {
    /// `None` when there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ContainersError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ContainersError::io("read", path)(error)),
        };
        let damaged = |source| ContainersError::Record { path: path.to_owned(), source };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Replaces the file, so that others see the old or the new one.
    pub(super) fn write(&self, path: &Path) -> Result<(), ContainersError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| ContainersError::Record { path: path.to_owned(), source })?;
        let temporary = path.with_extension("new");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&text)?;
            // A record that is empty after a power failure would be in everybody's way.
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        write().map_err(ContainersError::io("write", path))
    }
}
