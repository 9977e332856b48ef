//! Where LCOW keeps images, layer disks and containers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lcow_oci::store::{Store, StoreError};

use crate::containers::{Containers, ContainersError};
use crate::layers::{CacheError, DiskKey, FreedDisks, LayerCache};

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

/// How much is taken for garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Blobs that have come in part today may be completed yet.
    ByTheWay,
    /// Those go, too.
    Everything,
}

/// What was deleted because nobody needed it.
#[derive(Debug)]
pub struct Collected {
    /// Space that is free now.
    pub bytes: u64,
    /// Blobs.
    pub blobs: usize,
    /// Layer disks.
    pub disks: usize,
    /// Records of containers that cannot be read; while there are any no disk is deleted.
    pub damaged: Vec<ContainersError>,
}

/// Why it cannot be found out what nobody needs, or why it cannot be deleted.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The image store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layer disks.
    #[error(transparent)]
    Disks(#[from] CacheError),
    /// The containers.
    #[error(transparent)]
    Containers(#[from] ContainersError),
    /// It is not known what containers need.
    #[error("a container's record is damaged")]
    Unsure,
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

    /// Deletes blobs that no image needs, and layer disks that neither an image nor a container needs. What somebody may be
    /// about to use stays, and goes with a later call.
    pub fn collect_garbage(&self, extent: Extent) -> Result<Collected, GarbageError> {
        let store = self.store()?;
        let mut damaged = Vec::new();
        let freed = match extent {
            Extent::ByTheWay => store.collect_garbage()?,
            Extent::Everything => store.collect_all_garbage()?,
        };
        let freed = freed.unwrap_or_default();
        let disks = self.layers().collect(|| {
            let listing = self.containers().list()?;
            damaged = listing.damaged;
            if !damaged.is_empty() {
                return Err(GarbageError::Unsure);
            }
            let images = store.diff_ids()?.into_iter().flat_map(|ids| DiskKey::of_image(&ids));
            let containers = listing.containers.into_iter().flat_map(|listed| listed.record.layers);
            Ok(images.chain(containers).collect())
        });
        let disks = match disks {
            // Which disks a container uses is not known: all stay.
            Err(GarbageError::Unsure) => FreedDisks::default(),
            disks => disks?.unwrap_or_default(),
        };
        Ok(Collected { bytes: freed.bytes + disks.bytes, blobs: freed.files, disks: disks.disks, damaged })
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
