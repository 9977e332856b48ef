//! Layer disks by the digest of their content: one fixed VHD with a read-only ext4 for each layer, shared by all images
//! and containers.
//!
//! A disk is written under another name and renamed when it is whole, so that a name always leads to a whole disk. Who
//! converts a layer holds a lock of its own; a temporary file whose lock is free belongs to nobody any more. Who is going to
//! use disks holds a lock that all users share until something else tells of the use; who deletes disks holds it alone.

mod collect;
mod error;
mod key;
mod make;
#[cfg(test)]
mod tests;

use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lcow_oci::Digest;
use lcow_oci::layer::LayerReader;
use lcow_oci::model::ImageConfig;
use lcow_oci::registry::LayerSink;
use lcow_oci::store::{Image, Store, StoreError};

use super::MAX_LAYERS;
use crate::lock::Lock;

pub use collect::FreedDisks;
pub use error::CacheError;
pub use key::DiskKey;

const DISK: &str = "vhd";
const TEMPORARY: &str = "tmp";

/// The layer disks in a directory.
#[derive(Clone, Debug)]
pub struct LayerCache {
    root: PathBuf,
}

/// While it is held no disk is deleted.
#[derive(Debug)]
pub struct DiskUse {
    _lock: Lock,
}

/// A disk to be.
#[derive(Clone, Copy)]
enum Content {
    /// Of the layer with this number.
    Layer(usize),
    /// Of all layers.
    Stack,
}

impl LayerCache {
    /// The cache in `root`; the directory is made when something is put there.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Keeps disks from being deleted until something else does: the record of a container, or the name of an image.
    pub fn hold(&self) -> Result<DiskUse, CacheError> {
        self.create()?;
        let path = self.users_lock();
        Ok(DiskUse { _lock: Lock::shared(&path).map_err(CacheError::io("lock", &path))? })
    }

    /// The disks of an image's layers, lowest first; a single one for more layers than a utility VM has units. What is
    /// missing is converted, several layers at once, which may take a while.
    pub fn disks(&self, store: &Store, image: &Image) -> Result<Vec<PathBuf>, CacheError> {
        let _held = self.hold()?;
        let ids = &image.config.rootfs.diff_ids;
        let layers = image.manifest.layers.len();
        if layers != ids.len() {
            return Err(StoreError::Layers { digest: image.digest, layers, ids: ids.len() }.into());
        }
        let contents: Vec<Content> = match layers {
            0..=MAX_LAYERS => (0..layers).map(Content::Layer).collect(),
            _ => vec![Content::Stack],
        };
        let work: Vec<_> = DiskKey::of_image(ids).into_iter().zip(contents).collect();
        let next = AtomicUsize::new(0);
        let convert = || -> Result<(), CacheError> {
            while let Some((key, content)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                // After a failure nobody starts anything more.
                self.disk(store, image, key, *content)
                    .inspect_err(|_| next.store(work.len(), Ordering::Relaxed))?;
            }
            Ok(())
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(work.len());
        let converted: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(convert)).collect();
            let joined = running.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        converted.into_iter().collect::<Result<(), _>>()?;
        Ok(work.iter().map(|(key, _)| self.path(key, DISK)).collect())
    }

    fn disk(&self, store: &Store, image: &Image, key: &DiskKey, content: Content) -> Result<(), CacheError> {
        if self.path(key, DISK).is_file() {
            return Ok(());
        }
        let lock = self.path(key, "lock");
        let _held = Lock::wait(&lock).map_err(CacheError::io("lock", &lock))?;
        if self.path(key, DISK).is_file() {
            // Somebody else has made it meanwhile.
            return Ok(());
        }
        match content {
            Content::Layer(at) => {
                let layer = image.manifest.layers[at].digest.to_string();
                self.make(key, store.open_layer(image, at)?, &layer)
            }
            Content::Stack => self.make_stack(key, store, image),
        }
    }

    fn create(&self) -> Result<(), CacheError> {
        fs::create_dir_all(&self.root).map_err(CacheError::io("create", &self.root))
    }

    fn path(&self, key: &DiskKey, extension: &str) -> PathBuf {
        self.root.join(format!("{}.{extension}", key.stem()))
    }

    fn users_lock(&self) -> PathBuf {
        self.root.join("users.lock")
    }
}

/// Layers become disks while they are pulled.
impl LayerSink for LayerCache {
    fn wants(&self, image: &ImageConfig, diff_id: &Digest) -> bool {
        image.rootfs.diff_ids.len() <= MAX_LAYERS && !self.path(&DiskKey::layer(diff_id), DISK).is_file()
    }

    fn layer(
        &self,
        diff_id: &Digest,
        tar: LayerReader,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let _held = self.hold()?;
        let key = DiskKey::layer(diff_id);
        let lock = self.path(&key, "lock");
        // Whoever holds it makes this very disk; a download must not wait for that.
        let Some(_held) = Lock::try_now(&lock).map_err(CacheError::io("lock", &lock))? else { return Ok(()) };
        if self.path(&key, DISK).is_file() {
            return Ok(());
        }
        Ok(self.make(&key, tar, &diff_id.to_string())?)
    }
}
