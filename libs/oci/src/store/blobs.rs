use std::fs::File;
use std::io::{self, Read, Write};

use super::{Ingest, Store, StoreError};
use crate::Digest;
use crate::digest::Hashed;

/// Far more than any manifest or configuration has.
const MAX_DOCUMENT: u64 = 16 << 20;
pub(super) const BUFFER: usize = 512 * 1024;

impl Store {
    /// Add the blob that `source` yields if it is `digest` and `size` bytes long. `source` is not read if the blob is there
    /// already; one that has been damaged since is replaced.
    pub fn add(
        &self,
        mut source: impl Read,
        digest: &Digest,
        size: u64,
        held: &Ingest,
    ) -> Result<(), StoreError> {
        if self.is_whole(digest, size) {
            return Ok(());
        }
        // One byte more than promised is enough to notice.
        let (file, found, length) =
            self.receive(&mut source.by_ref().take(size.saturating_add(1)), &digest.to_string())?;
        if (found, length) != (*digest, size) {
            return Err(StoreError::Content { expected: *digest, found, size, length });
        }
        self.keep(file, &found, held)
    }

    /// Add a blob whose digest is not known beforehand.
    pub fn add_unnamed(
        &self,
        mut source: impl Read,
        what: &str,
        held: &Ingest,
    ) -> Result<(Digest, u64), StoreError> {
        let (file, digest, length) = self.receive(&mut source, what)?;
        self.keep(file, &digest, held)?;
        Ok((digest, length))
    }

    /// Whether a blob of that size is here. It was right when it came; whether it still is, its readers find out.
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        self.blob_path(digest).metadata().is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// A small blob as a whole, checked.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let file = self.open_blob(digest)?;
        let path = self.blob_path(digest);
        let size = file.metadata().map_err(StoreError::io("reading", &path))?.len();
        if size > MAX_DOCUMENT {
            return Err(StoreError::Large { digest: *digest, size });
        }
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(StoreError::io("reading", &path))?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(StoreError::Content { expected: *digest, found, size, length: bytes.len() as u64 });
        }
        Ok(bytes)
    }

    /// Open a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Missing { digest: *digest },
            _ => StoreError::io("opening", &path)(error),
        })
    }

    /// An empty file in the store that disappears unless it is kept.
    pub(crate) fn temporary(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        let directory = self.temporary_directory();
        tempfile::NamedTempFile::new_in(&directory).map_err(StoreError::io("creating a file in", &directory))
    }

    fn is_whole(&self, digest: &Digest, size: u64) -> bool {
        let Ok(file) = File::open(self.blob_path(digest)) else { return false };
        if file.metadata().is_ok_and(|found| found.len() != size) {
            return false;
        }
        let mut blob = Hashed::new(io::BufReader::with_capacity(BUFFER, file));
        io::copy(&mut blob, &mut io::sink()).is_ok() && blob.digest() == *digest
    }

    fn receive(
        &self,
        source: &mut dyn Read,
        what: &str,
    ) -> Result<(tempfile::NamedTempFile, Digest, u64), StoreError> {
        let temporary = self.temporary()?;
        // Failures of the file itself do not name it a second time.
        let mut target = Hashed::new(temporary.as_file());
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = read_some(source, &mut buffer, || what.to_owned())?;
            if count == 0 {
                break;
            }
            if let Err(error) = target.write_all(&buffer[..count]) {
                return Err(StoreError::io("writing", temporary.path())(error));
            }
        }
        let (digest, length) = (target.digest(), target.length);
        Ok((temporary, digest, length))
    }

    fn keep(&self, file: tempfile::NamedTempFile, digest: &Digest, _held: &Ingest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        // A name must not lead to holes after a power failure.
        file.as_file().sync_all().map_err(StoreError::io("writing", &path))?;
        file.persist(&path).map_err(|error| StoreError::io("storing", &path)(error.error))?;
        sync_directory(&self.blob_directory())
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> std::path::PathBuf {
        self.blob_directory().join(digest.hex())
    }
}

/// Reads what there is; zero at the end. `what` names the blob for a failure.
pub(super) fn read_some(
    source: &mut (impl Read + ?Sized),
    buffer: &mut [u8],
    what: impl Fn() -> String,
) -> Result<usize, StoreError> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read.map_err(|source| StoreError::Source { digest: what(), source }),
        }
    }
}

/// Makes new names in a directory last. Windows does so by itself.
pub(super) fn sync_directory(directory: &std::path::Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(StoreError::io("writing", directory))?;
    }
    Ok(())
}
