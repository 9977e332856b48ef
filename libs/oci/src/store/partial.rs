//! Blobs that have come in part. They outlive a failure, and the process, so that the next pull goes on where this one ended.
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::blobs::{BUFFER, read_some, sync_directory};
use super::lock::Lock;
use super::{Ingest, Store, StoreError};
use crate::digest::Hashed;
use crate::model::Descriptor;

/// End of their names.
const EXTENSION: &str = "partial";
/// How long they are kept when garbage is collected by the way: after a day nobody is waiting for the rest.
const FRESH: Duration = Duration::from_hours(24);

/// The part of a blob that is here. Nobody else adds to it as long as the value lives.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    /// Bytes that are here.
    pub(crate) length: u64,
    _alone: Lock,
}

impl Partial {
    /// What is here, from its start.
    pub(crate) fn start(&self) -> Result<impl Read + use<>, StoreError> {
        let file = File::open(&self.path).map_err(StoreError::io("opening", &self.path))?;
        Ok(file.take(self.length))
    }
}

impl Store {
    /// What is here of a blob; `None` while somebody else is fetching it.
    pub(crate) fn partial(&self, blob: &Descriptor, _held: &Ingest) -> Result<Option<Partial>, StoreError> {
        let locks = self.lock_directory();
        fs::create_dir_all(&locks).map_err(StoreError::io("creating", &locks))?;
        let Some(alone) = Lock::try_exclusive(&locks.join(blob.digest.hex()))? else { return Ok(None) };
        let path = self.temporary_directory().join(format!("{}.{EXTENSION}", blob.digest.hex()));
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(StoreError::io("opening", &path))?;
        let length = file.metadata().map_err(StoreError::io("reading", &path))?.len();
        // Longer than the whole it is something else.
        let length = if length > blob.size { 0 } else { length };
        file.set_len(length).map_err(StoreError::io("writing", &path))?;
        Ok(Some(Partial { path, file, length, _alone: alone }))
    }

    /// Adds a blob of which a part is here. `source` yields all of it, also what is here. If `source` fails, what came is kept;
    /// if the content is wrong, nothing is.
    pub(crate) fn complete(
        &self,
        mut partial: Partial,
        source: impl Read,
        blob: &Descriptor,
        _held: &Ingest,
    ) -> Result<(), StoreError> {
        let path = partial.path.clone();
        let failed = || StoreError::io("writing", &path);
        partial.file.seek(SeekFrom::Start(partial.length)).map_err(failed())?;
        let mut source = Hashed::new(source.take(blob.size.saturating_add(1)));
        let mut known = partial.length;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = read_some(&mut source, &mut buffer, || blob.digest.to_string())?;
            if count == 0 {
                break;
            }
            let skipped = usize::try_from(known).unwrap_or(usize::MAX).min(count);
            known -= skipped as u64;
            partial.file.write_all(&buffer[skipped..count]).map_err(failed())?;
        }
        let (found, length) = (source.digest(), source.length);
        if (found, length) != (blob.digest, blob.size) {
            fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
            return Err(StoreError::Content { expected: blob.digest, found, size: blob.size, length });
        }
        // A name must not lead to holes after a power failure. What did not reach the disk is read back from memory as if it
        // had, and synchronised without a complaint the second time, so that it must not be gone on with.
        if let Err(source) = partial.file.sync_all() {
            fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
            return Err(failed()(source));
        }
        let stored = self.blob_path(&blob.digest);
        fs::rename(&path, &stored).map_err(StoreError::io("storing", &stored))?;
        sync_directory(&self.blob_directory())
    }

    /// Where the locks of blobs are that are being fetched.
    pub(super) fn lock_directory(&self) -> PathBuf {
        self.root.join("locks")
    }
}

/// Whether a temporary file is a part of a blob that may be completed yet.
pub(super) fn may_be_completed(path: &Path) -> bool {
    let fresh = || path.metadata().ok()?.modified().ok()?.elapsed().ok();
    path.extension().is_some_and(|extension| extension == EXTENSION) && fresh().is_some_and(|age| age < FRESH)
}
