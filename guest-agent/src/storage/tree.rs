//! Removing directory trees without ever following a mount or a link out of them.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2, renameat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::Error;

/// So many directories are open at once. What lies deeper is moved up first: containers can nest directories deeper than
/// paths may be long.
const DEPTH: u32 = 32;
/// So often a directory is listed in which there is something every time.
const ROUNDS: u32 = 100;

/// Removes `path` and everything in it. What is gone is fine; a mount inside stops the removal there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("looking at", path))?,
    };
    if !metadata.is_dir() {
        return gone(fs::remove_file(path), path);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let top = openat2(AT_FDCWD, path, OpenHow::new().flags(flags))
        .map_err(|errno| failed("opening", path, errno))?;
    let mut removal = Removal { top: &top, path, moved: 0 };
    removal.empty_all(&top, path, 0)?;
    gone(fs::remove_dir(path), path)
}

struct Removal<'a> {
    top: &'a OwnedFd,
    path: &'a Path,
    /// Numbers what was moved up.
    moved: u64,
}

impl Removal<'_> {
    /// Removes what is in a directory, also what a listing has missed. Something that writes there all the time is not
    /// run after for ever: the directory is then not empty.
    fn empty_all(&mut self, directory: &OwnedFd, path: &Path, depth: u32) -> Result<(), Error> {
        let mut rounds = 0;
        while rounds < ROUNDS {
            let moved = self.moved;
            if !self.empty(directory, path, depth)? {
                break;
            }
            // One that has moved something up gets on.
            rounds = if self.moved > moved { 0 } else { rounds + 1 };
        }
        Ok(())
    }

    /// Removes what is in a directory, `depth` below the top; says whether anything was there.
    fn empty(&mut self, directory: &OwnedFd, path: &Path, depth: u32) -> Result<bool, Error> {
        let mut found = false;
        // Reached through the open directory, for the path itself may be too long.
        let listed = fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        for entry in listed.map_err(Error::io("listing", path))? {
            let entry = entry.map_err(Error::io("listing", path))?;
            found = true;
            let (name, place) = (entry.file_name(), path.join(entry.file_name()));
            let is_directory = entry.file_type().map_err(Error::io("looking at", &place))?.is_dir();
            let kind = if is_directory { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
            match unlinkat(directory, name.as_os_str(), kind) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(Errno::ENOTEMPTY) if depth == DEPTH => self.move_up(directory, &place)?,
                Err(Errno::ENOTEMPTY) => self.remove_directory(directory, &place, depth)?,
                Err(Errno::EBUSY) => return Err(Error::MountInside(place)),
                Err(errno) => return Err(failed("removing", &place, errno)),
            }
        }
        Ok(found)
    }

    /// Removes the directory that is called as the end of `path` says.
    fn remove_directory(&mut self, parent: &OwnedFd, path: &Path, depth: u32) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_XDEV);
        let directory = match openat2(parent.as_fd(), name, how) {
            Err(Errno::EXDEV) => return Err(Error::MountInside(path.to_owned())),
            other => other.map_err(|errno| failed("opening", path, errno))?,
        };
        self.empty_all(&directory, path, depth + 1)?;
        unlinkat(parent, name, UnlinkatFlags::RemoveDir).map_err(|errno| failed("removing", path, errno))
    }

    /// Moves a directory to the top, where its turn comes.
    fn move_up(&mut self, parent: &OwnedFd, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default();
        loop {
            let number = self.moved;
            self.moved += 1;
            match renameat(parent, name, self.top, format!(".removed-{number}").as_str()) {
                // The container has used that name.
                Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                Err(Errno::EBUSY | Errno::EXDEV) => return Err(Error::MountInside(path.to_owned())),
                moved => return moved.map_err(|errno| failed("moving", self.path, errno)),
            }
        }
    }
}

fn failed(operation: &'static str, path: &Path, errno: Errno) -> Error {
    Error::io(operation, path)(errno.into())
}

fn gone(removed: io::Result<()>, path: &Path) -> Result<(), Error> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;

    use nix::sys::stat::{Mode, mkdirat};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let base = std::env::temp_dir().join(format!("tree-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(&base).unwrap();
        base
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let base = scratch("links");
        fs::create_dir_all(base.join("tree/deep/er")).unwrap();
        fs::create_dir_all(base.join("kept")).unwrap();
        fs::write(base.join("kept/file"), "x").unwrap();
        fs::write(base.join("tree/deep/file"), "x").unwrap();
        std::os::unix::fs::symlink(base.join("kept"), base.join("tree/deep/link")).unwrap();
        remove(&base.join("tree")).unwrap();
        remove(&base.join("tree")).unwrap();
        assert!(!base.join("tree").exists() && base.join("kept/file").exists());
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_is_deeper_than_paths_are_long_is_removed() {
        let base = scratch("deep");
        fs::create_dir_all(base.join("tree/.removed-0/x")).unwrap();
        fs::write(base.join("tree/.removed-1"), "").unwrap();
        let mut directory = OwnedFd::from(File::open(base.join("tree")).unwrap());
        for _ in 0..3000 {
            for name in ["a", "b"] {
                mkdirat(&directory, name, Mode::S_IRWXU).unwrap();
            }
            directory = openat2(&directory, "a", OpenHow::new().flags(OFlag::O_DIRECTORY)).unwrap();
        }
        remove(&base.join("tree")).unwrap();
        assert!(!base.join("tree").exists());
        fs::remove_dir_all(base).unwrap();
    }
}
