//! The cache: kernel packages that `cargo xtask setup` downloads, and what was unpacked from them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use lcow_oci::store::{Store, StoreError};
use sha2::{Digest, Sha256};

use crate::debian_version;
use crate::hex::hex;
use crate::kernel::build::Kernels;
use crate::linuxkit::attestation::Kept;
use crate::modules::table::Root;
use crate::selection::Selection;

/// Raised when the way from a package to a [`Selection`] changes, so that old files are not taken for new ones.
const FORMAT: u32 = 2;

/// Why the cache is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Nobody says where it is.
    #[error("there is no place for a cache: set LCOW_CACHE, or HOME")]
    NoPlace,
    /// It cannot be made or read.
    #[error("cannot use the cache directory {}; set LCOW_CACHE to another one", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The images in it cannot be used.
    #[error(transparent)]
    Images(#[from] StoreError),
    /// No kernel package has been downloaded.
    #[error(
        "no Debian kernel package (linux-image-*_amd64.deb) in {}; run `cargo xtask setup` to download it, or name one with --kernel FILE.deb",
        path.display()
    )]
    NoKernel {
        /// The cache directory.
        path: PathBuf,
    },
}

/// The cache directory.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache at `$LCOW_CACHE`, else `lcow` in the user's cache directory (`$XDG_CACHE_HOME`, `~/.cache`,
    /// `%LOCALAPPDATA%`).
    pub fn of_user() -> Result<Self, CacheError> {
        let dir = user_dir(|name| env::var_os(name).filter(|value| !value.is_empty()))?;
        Ok(Self { dir })
    }

    /// The cache in `dir`.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The newest Debian kernel package in the cache; of one version the general flavour before cloud and real-time.
    pub fn newest_kernel(&self) -> Result<PathBuf, CacheError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CacheError::NoKernel { path: self.dir.clone() });
            }
            Err(source) => return Err(CacheError::Directory { path: self.dir.clone(), source }),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        match newest(names) {
            Some(name) => Ok(self.dir.join(name)),
            None => Err(CacheError::NoKernel { path: self.dir.clone() }),
        }
    }

    /// The tailored kernels that were built.
    pub fn kernels(&self) -> Kernels {
        Kernels::in_cache(&self.dir)
    }

    /// A directory for unpacked packages and temporary files, made if need be.
    pub fn work_dir(&self) -> Result<PathBuf, CacheError> {
        let path = self.dir.join("uvm-build");
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(CacheError::Directory { path, source }),
        }
    }

    /// The cache directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The images that descriptions were built of; made if need be.
    pub fn images(&self) -> Result<Store, CacheError> {
        Ok(Store::open(self.work_dir()?.join("images"))?)
    }

    /// What others say is in these images.
    pub fn attested(&self) -> Result<Kept, CacheError> {
        Ok(Kept::at(self.work_dir()?.join("attested")))
    }

    /// Removes all selections; gives their bytes.
    pub fn forget_selections(&self) -> Result<u64, CacheError> {
        let dir = self.work_dir()?;
        let failed = |source| CacheError::Directory { path: dir.clone(), source };
        let mut freed = 0;
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with("selection-") {
                freed += entry.metadata().map_err(failed)?.len();
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(freed)
    }

    /// The selection saved under `key`, if it is there and whole.
    pub fn load(&self, key: &str) -> Option<Selection> {
        let file = fs::File::open(self.selection_path(key)).ok()?;
        Selection::load(io::BufReader::with_capacity(1 << 20, file)).ok()
    }

    /// Saves `selection` under `key`, whole or not at all, and drops what was saved for other packages.
    pub fn save(&self, key: &str, selection: &Selection) -> io::Result<()> {
        let dir = self.work_dir().map_err(io::Error::other)?;
        let file = tempfile::Builder::new().prefix("selection-").suffix(".tmp").tempfile_in(&dir)?;
        selection.save(BufWriter::with_capacity(1 << 20, file.as_file()))?;
        let path = self.selection_path(key);
        file.persist(&path)?;
        for old in fs::read_dir(&dir)?.flatten().map(|entry| entry.path()) {
            if old != path && old.extension().is_some_and(|end| end == "tar") {
                let _ = fs::remove_file(old);
            }
        }
        Ok(())
    }

    fn selection_path(&self, key: &str) -> PathBuf {
        self.dir.join("uvm-build").join(format!("selection-{key}.tar"))
    }
}

/// A key for what is selected from the package at `path`: it changes with the package, the table and this program.
pub fn selection_key(path: &Path, roots: &[Root<'_>]) -> io::Result<String> {
    let meta = fs::metadata(path)?;
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let name = path.file_name().unwrap_or_default().display();
    let text = format!("{FORMAT} {} {name} {} {modified} {roots:?}", env!("CARGO_PKG_VERSION"), meta.len());
    Ok(hex(&Sha256::digest(text.as_bytes())[..8]))
}

fn user_dir(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, CacheError> {
    if let Some(dir) = variable("LCOW_CACHE") {
        return Ok(dir.into());
    }
    if let Some(base) = variable("XDG_CACHE_HOME").or_else(|| variable("LOCALAPPDATA")) {
        return Ok(PathBuf::from(base).join("lcow"));
    }
    match variable("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".cache").join("lcow")),
        None => Err(CacheError::NoPlace),
    }
}

/// The newest of the kernel packages among `names`.
fn newest(names: impl Iterator<Item = String>) -> Option<String> {
    names
        .filter_map(|name| {
            let package = name.strip_prefix("linux-image-")?.strip_suffix("_amd64.deb")?;
            let (package, version) = package.split_once('_')?;
            let special = ["-cloud", "-rt"].iter().any(|flavour| package.contains(flavour));
            let debug = package.ends_with("-dbg");
            (!debug).then(|| (version.to_owned(), special, name.clone()))
        })
        .max_by(|(a, a_special, a_name), (b, b_special, b_name)| {
            debian_version::compare(a, b).then(b_special.cmp(a_special)).then_with(|| a_name.cmp(b_name))
        })
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::table::ROOTS;

    #[test]
    fn takes_the_newest_general_kernel() {
        let names = [
            "linux-image-6.1.0-9-amd64_6.1.27-1_amd64.deb",
            "linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb",
            "linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb",
            "linux-image-6.1.0-57-amd64-dbg_6.1.200-1_amd64.deb",
            "linux-image-6.9.0-1-arm64_6.9.1-1_arm64.deb",
            "other.deb",
        ];
        let found = newest(names.iter().map(ToString::to_string));
        assert_eq!(found.as_deref(), Some("linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb"));
    }

    #[test]
    fn an_empty_cache_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for place in [dir.path().to_owned(), dir.path().join("absent")] {
            let error = Cache::at(place).newest_kernel().unwrap_err().to_string();
            assert!(error.contains("cargo xtask setup") && error.contains("--kernel FILE.deb"), "{error}");
        }
    }

    #[test]
    fn finds_the_users_directory() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> = set.iter().map(|(n, v)| (n.to_string(), v.into())).collect();
            user_dir(|name| set.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
        };
        assert_eq!(with(&[("LCOW_CACHE", "/c"), ("HOME", "/h")]).unwrap(), Path::new("/c"));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).unwrap(), Path::new("/x").join("lcow"));
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h").join(".cache").join("lcow"));
        assert!(with(&[]).is_err());
    }

    #[test]
    fn selections_are_kept_per_package_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned());
        let package = dir.path().join("a.deb");
        fs::write(&package, "one").unwrap();
        let first = selection_key(&package, ROOTS).unwrap();
        fs::write(&package, "another").unwrap();
        let second = selection_key(&package, ROOTS).unwrap();
        assert_ne!(first, second);
        assert_ne!(second, selection_key(&package, &ROOTS[1..]).unwrap());

        let selection = Selection { release: "6.1".into(), ..Selection::default() };
        assert_eq!(cache.load(&first), None);
        cache.save(&first, &selection).unwrap();
        assert_eq!(cache.load(&first), Some(selection.clone()));
        cache.save(&second, &selection).unwrap();
        assert_eq!(cache.load(&first), None, "what belongs to no package any more is dropped");
        fs::write(cache.selection_path(&second), "damaged").unwrap();
        assert_eq!(cache.load(&second), None);
    }
}
