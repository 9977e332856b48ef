//! From a tar stream to a disk.

use std::fs::{self, File};
use std::io::{self, Read};

use lcow_disk::ext4::layer;
use lcow_oci::store::{Image, Store};

use super::{CacheError, DISK, DiskKey, LayerCache, TEMPORARY};
use crate::lock::Lock;

impl LayerCache {
    /// Writes a disk and gives it its name. The caller holds its lock. `layer` is for messages.
    pub(super) fn make(&self, key: &DiskKey, tar: impl Read, layer: &str) -> Result<(), CacheError> {
        self.remove_stale()?;
        let temporary = self.path(key, TEMPORARY);
        let disk = self.path(key, DISK);
        let convert = || -> Result<(), CacheError> {
            let file = File::create(&temporary).map_err(CacheError::io("create", &temporary))?;
            let options = layer::Options { vhd_footer: true, ..layer::Options::default() };
            layer::convert_to_file(tar, &file, &options).map_err(|source| CacheError::Convert {
                layer: layer.to_owned(),
                disk: temporary.clone(),
                source: Box::new(source),
            })?;
            // A name must not lead to holes after a power failure.
            file.sync_all().map_err(CacheError::io("write", &temporary))?;
            drop(file);
            fs::rename(&temporary, &disk).map_err(CacheError::io("store", &disk))
        };
        convert().inspect_err(|_| {
            // What is left of it is found by the next conversion.
            let _ = fs::remove_file(&temporary);
        })
    }

    /// One disk for all layers of an image. The caller holds its lock.
    pub(super) fn make_stack(&self, key: &DiskKey, store: &Store, image: &Image) -> Result<(), CacheError> {
        self.make(key, store.merged(image)?, &format!("stack of {}", image.digest))
    }

    /// Removes what killed conversions have left behind.
    fn remove_stale(&self) -> Result<(), CacheError> {
        for entry in fs::read_dir(&self.root).map_err(CacheError::io("list", &self.root))? {
            let path = entry.map_err(CacheError::io("list", &self.root))?.path();
            if path.extension().is_none_or(|extension| extension != TEMPORARY) {
                continue;
            }
            // Our own layer's lock is held, by us: then nothing happens, and its file is about to be overwritten.
            if let Ok(Some(_nobody)) = Lock::try_now(&path.with_extension("lock")) {
                match fs::remove_file(&path) {
                    // Its conversion has finished since the list was made.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(CacheError::io("remove", &path))?,
                }
            }
        }
        Ok(())
    }
}
