//! Paths that lie in a container's root: resolved inside it, whatever links the image contains.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{Mode, mkdirat};

/// Opens the plain file `path` for reading as a process with `root` for its root would. Anything else is refused before it
/// is opened, because opening a pipe would block and opening a device might do anything.
pub(super) fn open_in(root: &Path, path: &str) -> io::Result<File> {
    let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let found = File::from(openat2(&root, path, how)?);
    if !found.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// Opens the file `path` inside `root` for appending, and makes it; anything but a plain file is refused, because
/// writing to it might block.
pub(super) fn append_in(root: &Path, path: &Path) -> io::Result<File> {
    let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .mode(Mode::from_bits_truncate(0o666))
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let file = File::from(openat2(&root, path, how)?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// Why a process with `root` for its root does not find the directory `path`; `None` if it does, or if `root` itself has
/// gone.
pub(super) fn lacks_dir(root: &Path, path: &Path) -> Option<io::Error> {
    let gone = !root.is_dir();
    open_dir_in(root, path).err().filter(|_| !gone)
}

/// Opens the directory `path` as a process with `root` for its root would, for what is below it.
pub(super) fn open_dir_in(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(root, flags, Mode::empty())?;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    Ok(openat2(&root, path, how)?)
}

/// The target of the link `path` below `base`; `None` if there is no link or nothing at all. Links on the way are not
/// followed.
pub(super) fn link_in(base: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let Some(found) = look_at(base, path)? else { return Ok(None) };
    if found.metadata()?.is_symlink() { Ok(Some(readlinkat(&found, "")?.into())) } else { Ok(None) }
}

/// The permissions of the directory `path` below `base`; `None` if there is none. Links on the way are not followed.
pub(super) fn mode_in(base: &Path, path: &Path) -> io::Result<Option<u32>> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let metadata = look_at(base, path)?.map(|found| found.metadata()).transpose()?;
    Ok(metadata.filter(Metadata::is_dir).map(|metadata| metadata.permissions().mode() & 0o7777))
}

/// What is at `path` below `base`, a link itself if it is one; `None` if there is nothing at all. Links on the way are not
/// followed.
fn look_at(base: &Path, path: &Path) -> io::Result<Option<File>> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let how =
        OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let found = open(base, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .and_then(|base| openat2(base, path, how));
    match found {
        Ok(found) => Ok(Some(File::from(found))),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Creates the directory `path` and its parents (0755) inside `root`.
pub(super) fn create_dir_in(root: &Path, path: &Path) -> io::Result<()> {
    let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut walked = PathBuf::from(".");
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                let parent = openat2(root.as_fd(), &walked, how)?;
                match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                walked.push(name);
            }
            Component::ParentDir => walked.push(".."),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("guest-path-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root/etc")).unwrap();
        path
    }

    #[test]
    fn links_out_of_the_root_stay_in_it() {
        let base = scratch("links");
        fs::write(base.join("secret"), "outside").unwrap();
        fs::write(base.join("root/secret"), "inside").unwrap();
        symlink("/../../secret", base.join("root/etc/passwd")).unwrap();
        let mut text = String::new();
        open_in(&base.join("root"), "/etc/passwd").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_pipe_is_not_opened() {
        let base = scratch("pipe");
        nix::unistd::mkfifo(&base.join("root/etc/passwd"), Mode::S_IRWXU).unwrap();
        assert_eq!(
            open_in(&base.join("root"), "/etc/passwd").unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_log_is_a_plain_file_and_not_a_link_or_a_pipe() {
        use std::io::Write;
        let base = scratch("append");
        for text in ["a", "b"] {
            write!(append_in(&base, Path::new("log")).unwrap(), "{text}").unwrap();
        }
        assert_eq!(fs::read_to_string(base.join("log")).unwrap(), "ab");
        symlink("/etc/passwd", base.join("link")).unwrap();
        nix::unistd::mkfifo(&base.join("pipe"), Mode::S_IRWXU).unwrap();
        assert!(append_in(&base, Path::new("link")).is_err());
        assert!(append_in(&base, Path::new("pipe")).is_err());
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn directories_are_made_inside_the_root_even_through_links() {
        let base = scratch("mkdir");
        symlink("/", base.join("root/up")).unwrap();
        symlink(base.join("elsewhere"), base.join("root/out")).unwrap();
        create_dir_in(&base.join("root"), Path::new("/up/../a/b")).unwrap();
        assert!(base.join("root/a/b").is_dir());
        assert!(create_dir_in(&base.join("root"), Path::new("/out/x")).is_err());
        assert!(!base.join("elsewhere").exists());
        fs::remove_dir_all(base).unwrap();
    }
}
