//! What must not stay behind when somebody ends the program before it is done.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// How often a directory is removed into which another thread still writes.
const TRIES: usize = 100;

/// The unfinished work of a process; copies are the same.
#[derive(Debug, Clone, Default)]
pub struct Unfinished {
    paths: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// While this exists the program is not ended halfway: its signals wait.
#[must_use]
pub struct Held<'a>(MutexGuard<'a, BTreeSet<PathBuf>>);

impl Unfinished {
    /// Lets nobody end the program until the result is dropped.
    pub fn hold(&self) -> Held<'_> {
        Held(self.paths.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A directory below `parent` with a name of its own that begins with `prefix`.
    pub fn directory(&self, prefix: &str, parent: &Path) -> io::Result<Directory> {
        let mut held = self.hold();
        let directory = TempDir::with_prefix_in(prefix, parent)?;
        held.0.insert(directory.path().to_owned());
        drop(held);
        Ok(Directory { directory, unfinished: self.clone() })
    }

    /// Removes everything, and whatever is made there meanwhile. For the last moment of a program: what other threads do
    /// with [`Unfinished`] from now on waits until the result is dropped.
    pub fn remove(&self) -> Held<'_> {
        let held = self.hold();
        for path in held.0.iter() {
            for _ in 0..TRIES {
                if fs::remove_dir_all(path).is_ok() || !path.exists() {
                    break;
                }
            }
        }
        held
    }
}

/// A directory that goes when it is dropped, or when the program is ended.
#[derive(Debug)]
pub struct Directory {
    directory: TempDir,
    unfinished: Unfinished,
}

impl Directory {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.unfinished.hold().0.remove(self.directory.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_unfinished_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::default();
        let one = unfinished.directory("one-", root.path()).unwrap();
        let kept = unfinished.directory("two-", root.path()).unwrap();
        fs::write(one.path().join("file"), "x").unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        assert!(!path.exists(), "a dropped directory");
        fs::create_dir(&path).unwrap();
        drop(unfinished.remove());
        assert!(!one.path().exists());
        assert!(path.exists(), "no longer ours");
    }
}
