//! Where LCOW keeps images, layer disks and containers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lcow_oci::store::{Store, StoreError};

use crate::containers::Containers;
use crate::layers::LayerCache;

/// Environment variable that names the directory.
pub const VARIABLE: &str = "LCOW_HOME";

/// Why there is no home.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing says where it should be.
    #[error("no place for images and containers: set ${VARIABLE}")]
    Unknown,
    /// It cannot be made.
    #[error("cannot create the directory {}", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The directory with everything that outlives a command.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// `$LCOW_HOME`, else `lcow` in the user's data directory. Made if nothing is there.
    pub fn open() -> Result<Self, HomeError> {
        let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = named.or_else(|| Some(user_data()?.join("lcow"))).ok_or(HomeError::Unknown)?;
        let path = std::path::absolute(&path).unwrap_or(path);
        Self::at(path)
    }

    /// The one in a given directory, which must be absolute. Made if nothing is there.
    pub fn at(path: PathBuf) -> Result<Self, HomeError> {
        match create_private(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(HomeError::Create { path, source }),
        }
    }

    /// The images.
    pub fn store(&self) -> Result<Store, StoreError> {
        Store::open(self.0.join("images"))
    }

    /// The layer disks.
    pub fn layers(&self) -> LayerCache {
        LayerCache::new(self.0.join("layers"))
    }

    /// The containers.
    pub fn containers(&self) -> Containers {
        Containers::new(self.0.join("containers"))
    }
}

/// Nobody else has any business in containers' files.
#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// The user's data directory: `$XDG_DATA_HOME`, else `~/.local/share`; on Windows `%LOCALAPPDATA%`.
pub(crate) fn user_data() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return absolute("LOCALAPPDATA");
    }
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
}
