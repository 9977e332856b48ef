//! Directories the commands work in.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The workspace's root.
pub(crate) fn workspace() -> PathBuf {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}

/// Cargo's target directory, absolute: `$CARGO_TARGET_DIR`, else `target` in the workspace.
pub(crate) fn target() -> PathBuf {
    match variable("CARGO_TARGET_DIR") {
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
        None => workspace().join("target"),
    }
}

/// Where `build` leaves its binaries.
pub(crate) fn dist() -> PathBuf {
    target().join("dist")
}

/// The cache of downloads, the same that `uvm-build` reads: `$LCOW_CACHE`, else `lcow` in the user's cache directory.
pub(crate) fn cache() -> Result<PathBuf> {
    cache_from(variable)
}

fn cache_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    if let Some(dir) = variable("LCOW_CACHE") {
        return Ok(std::path::absolute(dir)?);
    }
    if let Some(base) = variable("XDG_CACHE_HOME").or_else(|| variable("LOCALAPPDATA")) {
        return Ok(PathBuf::from(base).join("lcow"));
    }
    match variable("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".cache/lcow")),
        None => bail!("there is no place for a cache: set LCOW_CACHE, or HOME"),
    }
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_one_with_this_crate() {
        assert!(workspace().join("xtask/Cargo.toml").is_file());
    }

    #[test]
    fn the_cache_follows_the_environment() {
        let with = |set: &'static [(&str, &str)]| {
            cache_from(move |name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
        };
        assert_eq!(with(&[("LCOW_CACHE", "/c"), ("HOME", "/h")]).unwrap(), Path::new("/c"));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).unwrap(), Path::new("/x/lcow"));
        assert_eq!(with(&[("HOME", "/h")]).unwrap(), Path::new("/h/.cache/lcow"));
        assert!(with(&[]).is_err());
    }
}
