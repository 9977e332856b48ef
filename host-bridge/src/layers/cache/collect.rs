//! Disks that nobody needs any more.

use std::collections::HashSet;
use std::fs;
use std::io;

use super::{CacheError, DISK, DiskKey, LayerCache};
use crate::lock::Lock;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreedDisks {
    /// Disks.
    pub disks: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl LayerCache {
    /// Deletes all disks but those that `needed` names. It is asked once nobody can take a disk into use any more; `None`
    /// if somebody is about to: then nothing is deleted.
    pub fn collect<E: From<CacheError>>(
        &self,
        needed: impl FnOnce() -> Result<HashSet<DiskKey>, E>,
    ) -> Result<Option<FreedDisks>, E> {
        if !self.root.exists() {
            return Ok(Some(FreedDisks::default()));
        }
        let path = self.users_lock();
        let Some(_alone) = Lock::try_now(&path).map_err(CacheError::io("lock", &path))? else {
            return Ok(None);
        };
        let needed = needed()?;
        let needed: HashSet<&str> = needed.iter().map(DiskKey::stem).collect();
        Ok(Some(self.delete_except(&needed)?))
    }

    /// The caller holds the users' lock alone, so nobody converts anything either, and the layers' own locks can go.
    fn delete_except(&self, needed: &HashSet<&str>) -> Result<FreedDisks, CacheError> {
        let mut freed = FreedDisks::default();
        for entry in fs::read_dir(&self.root).map_err(CacheError::io("list", &self.root))? {
            let path = entry.map_err(CacheError::io("list", &self.root))?.path();
            let (Some(stem), Some(extension)) = (path.file_stem(), path.extension()) else { continue };
            if needed.contains(&*stem.to_string_lossy()) || path == self.users_lock() {
                continue;
            }
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            match fs::remove_file(&path) {
                // A lock file's owner on Windows keeps it; the next collection finds it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && cfg!(windows) => continue,
                removed => removed.map_err(CacheError::io("remove", &path))?,
            }
            if extension == DISK {
                freed = FreedDisks { disks: freed.disks + 1, bytes: freed.bytes + bytes };
            }
        }
        Ok(freed)
    }
}
