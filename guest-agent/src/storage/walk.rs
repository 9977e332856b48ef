//! Directories that hosts name, reached without following links.
//!
//! Mount points, bundles and scratch directories lie beside what containers write. Nothing on the way to one may be a
//! link, so a container that gets to place one cannot lead the agent elsewhere; and everything happens relative to what
//! was opened, so that it does not help to be quick either.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

fn how() -> OpenHow {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS)
}

/// Whether there is something at an absolute path; a link there, or on the way, is an error.
pub(super) fn is_there(path: &Path) -> io::Result<bool> {
    let how =
        OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, how) {
        Err(Errno::ENOENT) => Ok(false),
        found => Ok(found.map(|_| true)?),
    }
}

impl Directory {
    /// Opens an absolute path.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat2(AT_FDCWD, path, how())?))
    }

    /// Opens an absolute path and creates what is missing of it.
    pub(super) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut directory = Self::open(Path::new("/"))?;
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => directory = directory.enter(name, mode)?,
                Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        Ok(directory)
    }

    fn enter(&self, name: &OsStr, mode: u32) -> io::Result<Self> {
        match openat2(self.0.as_fd(), name, how()) {
            Err(Errno::ENOENT) => {}
            other => return Ok(Self(other?)),
        }
        match mkdirat(&self.0, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(Self(openat2(self.0.as_fd(), name, how())?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the directory in which `path` is, and its name there.
    pub(super) fn parent_of(path: &Path) -> io::Result<(Self, &OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((Self::open(parent)?, name)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A path to the directory for as long as this is open.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_missing_is_made_and_links_are_not_followed() {
        let base =
            fs::canonicalize(std::env::temp_dir()).unwrap().join(format!("walk-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        let made = Directory::create(&base.join("a/b/c"), 0o700).unwrap();
        fs::write(made.path().join("file"), "x").unwrap();
        assert!(base.join("a/b/c/file").exists());
        assert_eq!(fs::metadata(base.join("a/b")).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir(base.join("target")).unwrap();
        symlink(base.join("target"), base.join("a/link")).unwrap();
        for path in ["a/link", "a/link/x"] {
            assert!(Directory::create(&base.join(path), 0o700).is_err(), "{path}");
        }
        assert!(Directory::open(&base.join("a/link")).is_err());
        assert!(Directory::parent_of(&base.join("a/link/x")).is_err());
        // The link itself may be named, to remove it.
        assert!(Directory::parent_of(&base.join("a/link")).is_ok());
        assert!(fs::read_dir(base.join("target")).unwrap().next().is_none());
        assert!(Directory::create(&base.join("a/../b"), 0o700).is_err());
        fs::remove_dir_all(base).unwrap();
    }
}
