//! Kernels that were built before.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{BuildError, Kernels};
use crate::kernel::bzimage;

/// Where a build works.
const WORK: &str = "work";

/// A kernel in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it is kept under: a hash of source, configuration and compiler.
    pub key: String,
    /// Its release, if it can be read.
    pub release: Option<String>,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Whether it is the one that boot files are made with.
    pub chosen: bool,
}

impl Kernels {
    /// All kernels, by key.
    pub fn kept(&self) -> Result<Vec<Kept>, BuildError> {
        let chosen = self.newest();
        let mut kept = Vec::new();
        for path in directories(&self.dir())? {
            let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let image = fs::read(path.join("kernel")).unwrap_or_default();
            let chosen = chosen.as_ref() == Some(&path);
            kept.push(Kept { key, release: bzimage::release(&image).ok(), bytes: bytes(&path)?, chosen });
        }
        kept.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(kept)
    }

    /// Removes those of `kernels`; refused while one is being built.
    pub fn remove(&self, kernels: &[Kept]) -> Result<(), BuildError> {
        if kernels.is_empty() {
            return Ok(());
        }
        let _lock = self.alone()?;
        for kernel in kernels {
            let path = self.dir().join(&kernel.key);
            fs::remove_dir_all(&path).map_err(failed(&path))?;
        }
        Ok(())
    }

    /// Removes what a build that was killed has left behind; gives its bytes.
    pub fn remove_leftovers(&self) -> Result<u64, BuildError> {
        let work = self.dir().join(WORK);
        if !work.exists() {
            return Ok(0);
        }
        let _lock = self.alone()?;
        let freed = bytes(&work)?;
        fs::remove_dir_all(&work).map_err(failed(&work))?;
        Ok(freed)
    }

    /// Nobody builds as long as the value lives.
    fn alone(&self) -> Result<File, BuildError> {
        let path = self.dir().join("lock");
        let file = File::options().create(true).append(true).open(&path).map_err(failed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(BuildError::Busy { path: self.dir() }),
            Err(TryLockError::Error(source)) => Err(failed(&path)(source)),
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |source| BuildError::Cache { path, source }
}

/// Directories with a kernel, or with what was to be one.
fn directories(dir: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(dir)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = paths.map_err(failed(dir))?;
    paths.retain(|path| path.is_dir() && !path.ends_with(WORK));
    Ok(paths)
}

/// Bytes of all files below `dir`.
fn bytes(dir: &Path) -> Result<u64, BuildError> {
    let mut sum = 0;
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let entry = entry.map_err(failed(dir))?;
        let metadata = entry.metadata().map_err(failed(&entry.path()))?;
        sum += if metadata.is_dir() { bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_listed_and_removed_unless_one_is_being_built() {
        let cache = tempfile::tempdir().unwrap();
        let kernels = Kernels::in_cache(cache.path());
        assert_eq!(kernels.kept().unwrap(), []);
        let dir = cache.path().join("kernel");
        for (key, made_of) in
            [("aa", "configuration=other\n".to_owned()), ("bb", super::super::made_of("s", "c"))]
        {
            fs::create_dir_all(dir.join(key)).unwrap();
            fs::write(dir.join(key).join("kernel"), "no kernel").unwrap();
            fs::write(dir.join(key).join("made-of.txt"), made_of).unwrap();
        }
        fs::create_dir_all(dir.join("work/build")).unwrap();
        fs::write(dir.join("work/build/x"), [0; 100]).unwrap();
        let kept = kernels.kept().unwrap();
        let shown: Vec<_> = kept.iter().map(|kernel| (kernel.key.as_str(), kernel.chosen)).collect();
        assert_eq!(shown, [("aa", false), ("bb", true)]);
        assert_eq!(kept[0].bytes, 9 + 20);
        {
            let building = File::create(dir.join("lock")).unwrap();
            building.lock().unwrap();
            assert!(matches!(kernels.remove(&kept), Err(BuildError::Busy { .. })));
            assert!(matches!(kernels.remove_leftovers(), Err(BuildError::Busy { .. })));
        }
        kernels.remove(&kept[..1]).unwrap();
        assert_eq!(kernels.remove_leftovers().unwrap(), 100);
        assert_eq!(kernels.kept().unwrap(), kept[1..]);
    }
}
