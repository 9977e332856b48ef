//! The Debian kernel package in the cache: downloaded, never installed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apt::{self, Apt};
use crate::process::{command, output};

/// What depends on the newest kernel package of the release.
const METAPACKAGE: &str = "linux-image-amd64";

/// How the directories of downloads under way are named.
const DOWNLOAD_PREFIX: &str = ".download-";

/// After this time a download is taken for interrupted.
const ABANDONED: Duration = Duration::from_hours(1);

/// Whether `cache` has a kernel package.
pub(super) fn is_cached(cache: &Path) -> bool {
    let Ok(entries) = fs::read_dir(cache) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_kernel_file))
}

/// Downloads the newest kernel package into `cache`, whole or not at all.
pub(super) fn download(apt: Option<&Apt>, cache: &Path) -> Result<()> {
    let Some(apt) = apt else {
        bail!(
            "this system has no apt-get to download a Debian kernel with; put a linux-image-*_amd64.deb from a Debian mirror into {}",
            cache.display()
        );
    };
    let package = match resolve() {
        Ok(package) => package,
        Err(error) if !apt.is_root() => return Err(error.context("run `apt-get update` as root first")),
        Err(_) => {
            apt::update()?;
            resolve()?
        }
    };
    eprintln!("setup: downloading the kernel package {package}");
    if let Err(error) = fetch(apt, &package, cache, is_kernel_file) {
        // Lists that are a few weeks old name files which the mirror has no more.
        if !apt.is_root() {
            return Err(error.context("if the package lists are old, run `apt-get update` as root first"));
        }
        apt::update()?;
        fetch(apt, &resolve()?, cache, is_kernel_file)?;
    }
    Ok(())
}

/// Downloads `package` into `cache`, whole or not at all; `is_wanted` knows the name of its file.
pub(super) fn fetch(apt: &Apt, package: &str, cache: &Path, is_wanted: fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(cache)
        .with_context(|| format!("cannot make the cache directory {}", cache.display()))?;
    remove_abandoned(cache);
    let dir = tempfile::Builder::new()
        .prefix(DOWNLOAD_PREFIX)
        .tempdir_in(cache)
        .with_context(|| format!("cannot write to the cache directory {}", cache.display()))?;
    apt.download(package, dir.path())?;
    keep(dir.path(), cache, is_wanted)
}

/// Removes what interrupted downloads left in `cache`.
fn remove_abandoned(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(DOWNLOAD_PREFIX);
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        if ours && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Moves the package file from `dir` into `cache`.
fn keep(dir: &Path, cache: &Path, is_wanted: fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_wanted) {
            let place = cache.join(entry.file_name());
            return fs::rename(entry.path(), &place)
                .with_context(|| format!("cannot write {}", place.display()));
        }
    }
    bail!("apt-get downloaded something else than was asked for")
}

/// The real package behind the metapackage.
fn resolve() -> Result<String> {
    let text = output(command("apt-cache").args(["depends", METAPACKAGE]))
        .with_context(|| format!("apt knows no package {METAPACKAGE}"))?;
    real_package(&text).with_context(|| format!("{METAPACKAGE} depends on no kernel package:\n{text}"))
}

fn real_package(depends: &str) -> Option<String> {
    depends
        .lines()
        .filter_map(|line| line.trim().trim_start_matches('|').strip_prefix("Depends:"))
        .map(str::trim)
        .find(|name| {
            name.strip_prefix("linux-image-").is_some_and(|rest| {
                rest.starts_with(|c: char| c.is_ascii_digit())
                    && rest.ends_with("-amd64")
                    && !rest.contains("-dbg")
            })
        })
        .map(str::to_owned)
}

fn is_kernel_file(name: &str) -> bool {
    name.starts_with("linux-image-") && name.ends_with("_amd64.deb")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn takes_the_real_package() {
        let text = "linux-image-amd64\n |Depends: linux-image-6.12.5-amd64-unsigned\n  Depends: linux-image-6.12.5-amd64\n";
        assert_eq!(real_package(text).as_deref(), Some("linux-image-6.12.5-amd64"));
        assert_eq!(real_package("linux-image-amd64\n  Depends: <linux-image>\n"), None);
    }

    #[test]
    fn interrupted_downloads_are_removed_and_running_ones_are_not() {
        let cache = tempfile::tempdir().unwrap();
        let [old, running, other] = [".download-old", ".download-running", "other"].map(|name| {
            let path = cache.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        });
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        for path in [&old, &other] {
            fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
        }
        remove_abandoned(cache.path());
        assert!(!old.exists() && running.exists() && other.exists());
    }

    #[test]
    fn only_whole_package_files_count() {
        let cache = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir_in(cache.path()).unwrap();
        assert!(!is_cached(cache.path()) && !is_cached(Path::new("/nonexistent")));
        assert!(keep(dir.path(), cache.path(), is_kernel_file).is_err());
        fs::write(dir.path().join("linux-image-6.1_6.1-1_amd64.deb"), "x").unwrap();
        assert!(!is_cached(cache.path()));
        keep(dir.path(), cache.path(), is_kernel_file).unwrap();
        assert!(is_cached(cache.path()));
    }
}
