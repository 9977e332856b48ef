use std::fs::File;
use std::path::Path;

use fs4::fs_std::FileExt;

use super::StoreError;

/// A lock between processes on a file that is never deleted; the system releases it with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn shared(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        FileExt::lock_shared(&file).map_err(StoreError::io("locking", path))?;
        Ok(Self { _file: file })
    }

    pub(super) fn exclusive(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        FileExt::lock_exclusive(&file).map_err(StoreError::io("locking", path))?;
        Ok(Self { _file: file })
    }

    /// `None` while somebody else holds it.
    pub(super) fn try_exclusive(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = open(path)?;
        let got = FileExt::try_lock_exclusive(&file).map_err(StoreError::io("locking", path))?;
        Ok(got.then_some(Self { _file: file }))
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(StoreError::io("opening", path))
}
