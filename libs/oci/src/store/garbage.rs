//! Blobs that no image needs any more.
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::lock::Lock;
use super::partial::may_be_completed;
use super::{Store, StoreError};
use crate::Digest;
use crate::model::{ImageConfig, Manifest};

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Delete what no image needs. `None` if somebody needs the blobs to stay right now: then nothing is deleted. What came of
    /// blobs within the last day stays, for a pull that goes on with it.
    pub fn collect_garbage(&self) -> Result<Option<Freed>, StoreError> {
        self.collect(may_be_completed)
    }

    /// As [`Self::collect_garbage`], and blobs that have come in part go, too.
    pub fn collect_all_garbage(&self) -> Result<Option<Freed>, StoreError> {
        self.collect(|_| false)
    }

    fn collect(&self, spare: impl Fn(&Path) -> bool) -> Result<Option<Freed>, StoreError> {
        match Lock::try_exclusive(&self.ingest_lock())? {
            Some(_alone) => self.sweep(spare).map(Some),
            None => Ok(None),
        }
    }

    /// Digests of the layers' contents of all images. An image that is damaged has none: it cannot be used.
    pub fn diff_ids(&self) -> Result<Vec<Vec<Digest>>, StoreError> {
        let mut all = Vec::new();
        for descriptor in self.names()?.into_values() {
            let manifest = skip_damaged(self.document::<Manifest>(&descriptor.digest))?;
            let Some(manifest) = manifest else { continue };
            let config = skip_damaged(self.document::<ImageConfig>(&manifest.config.digest))?;
            all.extend(config.map(|config| config.rootfs.diff_ids));
        }
        Ok(all)
    }

    /// Delete blobs without an image and what dead processes left behind. The caller holds the ingest lock alone.
    fn sweep(&self, spare: impl Fn(&Path) -> bool) -> Result<Freed, StoreError> {
        let mut needed = HashSet::new();
        for descriptor in self.names()?.into_values() {
            needed.insert(descriptor.digest.hex());
            // A manifest that is damaged must not keep everything else from being cleaned up.
            let Some(manifest) = skip_damaged(self.document::<Manifest>(&descriptor.digest))? else {
                continue;
            };
            needed.insert(manifest.config.digest.hex());
            needed.extend(manifest.layers.iter().map(|layer| layer.digest.hex()));
        }
        let is_needed =
            |path: &Path| path.file_name().is_some_and(|name| needed.contains(&*name.to_string_lossy()));
        let blobs = delete_except(&self.blob_directory(), is_needed)?;
        let temporary = delete_except(&self.temporary_directory(), spare)?;
        if self.lock_directory().exists() {
            delete_except(&self.lock_directory(), |_| false)?;
        }
        Ok(Freed { files: blobs.files + temporary.files, bytes: blobs.bytes + temporary.bytes })
    }
}

/// A moment's trouble with a disk is no reason to take an image's layers for unused.
fn skip_damaged<T>(document: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match document {
        Ok(document) => Ok(Some(document)),
        Err(error @ StoreError::Io { .. }) => Err(error),
        Err(_) => Ok(None),
    }
}

fn delete_except(directory: &Path, needed: impl Fn(&Path) -> bool) -> Result<Freed, StoreError> {
    let mut freed = Freed::default();
    for entry in fs::read_dir(directory).map_err(StoreError::io("listing", directory))? {
        let entry = entry.map_err(StoreError::io("listing", directory))?;
        let path = entry.path();
        if needed(&path) {
            continue;
        }
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        fs::remove_file(&path).map_err(StoreError::io("deleting", &path))?;
        freed = Freed { files: freed.files + 1, bytes: freed.bytes + bytes };
    }
    Ok(freed)
}
