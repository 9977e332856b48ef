//! What can go wrong with the list of containers.

use std::io;
use std::path::{Path, PathBuf};

use super::ContainerName;

/// Why the list of containers cannot be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum ContainersError {
    /// Another container has the name.
    #[error("the name {name} is taken; `lcow rm {name}` frees it once that container has ended")]
    Taken {
        /// The name.
        name: ContainerName,
    },
    /// No container has the name.
    #[error("no container {name}")]
    Unknown {
        /// The name.
        name: ContainerName,
    },
    /// A container that runs cannot be removed.
    #[error("container {name} is running")]
    Running {
        /// Its name.
        name: ContainerName,
    },
    /// There is no randomness for a name or an id.
    #[error("cannot make up a name: {0}")]
    Random(getrandom::Error),
    /// A file failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A record is damaged.
    #[error("{} is no container's record", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
}

impl ContainersError {
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}
