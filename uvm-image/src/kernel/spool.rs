//! An unnamed temporary file for module bodies: a package holds 300 MB of them and a VM needs 10.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::KernelError;

/// Module bodies one after the other.
pub(super) struct Spool {
    file: Mutex<File>,
    dir: PathBuf,
}

/// Fills a [`Spool`].
pub(super) struct SpoolWriter {
    file: BufWriter<File>,
    dir: PathBuf,
    len: u64,
}

impl SpoolWriter {
    /// An empty spool in the directory `dir`; the system removes it when the process ends, however it ends.
    pub(super) fn create(dir: &Path) -> Result<Self, KernelError> {
        let file = tempfile::tempfile_in(dir)
            .map_err(|source| KernelError::Spool { path: dir.to_owned(), source })?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), dir: dir.to_owned(), len: 0 })
    }

    /// Appends `bytes` and returns where they begin.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u64, KernelError> {
        let offset = self.len;
        self.file.write_all(bytes).map_err(|source| KernelError::Spool { path: self.dir.clone(), source })?;
        self.len += bytes.len() as u64;
        Ok(offset)
    }

    /// Makes the spool readable.
    pub(super) fn finish(self) -> Result<Spool, KernelError> {
        let dir = self.dir;
        match self.file.into_inner() {
            Ok(file) => Ok(Spool { file: Mutex::new(file), dir }),
            Err(error) => Err(KernelError::Spool { path: dir, source: error.into_error() }),
        }
    }
}

impl Spool {
    /// `len` bytes from `offset`.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        let mut bytes = vec![0; len];
        // Seeking and reading belong together, for all threads. A panic elsewhere leaves the file usable.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| KernelError::Spool { path: self.dir.clone(), source })?;
        Ok(bytes)
    }
}
