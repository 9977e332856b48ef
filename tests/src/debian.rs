//! A small Debian root file system (glibc, bash, Perl), made by `mmdebstrap` and kept in the cache of downloads.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Part of its file's name: what is made differently has another name.
const NAME: &str = "debian-bookworm-essential-1";

/// A root, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The file of its tar archive.
    Tar(PathBuf),
    /// It cannot be made here.
    Missing(String),
}

/// The root; made if it is not in the cache yet, which fetches some 30 MB of packages.
pub fn root() -> Result<Root> {
    let Some(cache) = cache() else {
        return Ok(Root::Missing("there is no place for a cache: set LCOW_CACHE, or HOME".into()));
    };
    let tar = cache.join(format!("{NAME}.tar"));
    if tar.is_file() {
        return Ok(Root::Tar(tar));
    }
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    // Under another name until it is whole, which goes with the value.
    let made = tempfile::Builder::new().prefix(NAME).suffix(".tmp.tar").tempfile_in(&cache)?;
    if let Some(reason) = make(made.path())? {
        return Ok(Root::Missing(reason));
    }
    made.persist(&tar).with_context(|| format!("cannot store {}", tar.display()))?;
    Ok(Root::Tar(tar))
}

/// Runs mmdebstrap; gives the reason if it is missing or fails.
fn make(tar: &Path) -> Result<Option<String>> {
    let mode = if nix::unistd::geteuid().is_root() { "--mode=root" } else { "--mode=unshare" };
    let output = Command::new("mmdebstrap")
        // An archive that is out of reach shall not be waited for.
        .args([mode, "--variant=essential", "--format=tar", "--aptopt=Acquire::http::Timeout \"20\""])
        .args([OsStr::new("bookworm"), tar.as_os_str()])
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Some("there is no mmdebstrap; `cargo xtask setup --dev` installs it".into()));
        }
        output => output.context("cannot run mmdebstrap")?,
    };
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let complaint = text.lines().rfind(|line| line.starts_with("E:")).unwrap_or("it does not say why");
    Ok(Some(format!("mmdebstrap failed: {complaint}")))
}

/// The same place as that of other downloads: `$LCOW_CACHE`, else `lcow` in the user's cache directory.
pub fn cache() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("LCOW_CACHE")
        .or_else(|| Some(named("XDG_CACHE_HOME")?.join("lcow")))
        .or_else(|| Some(named("HOME")?.join(".cache/lcow")))
}
