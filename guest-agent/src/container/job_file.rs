//! Files through which jobs are handed to workers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::Error;
use crate::runtime::STATE_ROOT;

/// A file for one job, removed with the value.
pub(super) struct JobFile(pub(super) PathBuf);

impl JobFile {
    pub(super) fn new(content: &Value) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(STATE_ROOT).join(format!("job-{number}.json"));
        fs::write(&path, content.to_string()).map_err(Error::io("writing", &path))?;
        Ok(Self(path))
    }
}

impl Drop for JobFile {
    fn drop(&mut self) {
        // Nothing depends on it: numbers are never used twice.
        let _ = fs::remove_file(&self.0);
    }
}
