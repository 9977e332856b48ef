//! Mounting and unmounting (spec section 9.5).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};

use super::Error;
use super::walk::Directory;

/// Stacked mounts are taken off one by one, but not for ever.
const MOST_STACKED: usize = 16;

/// Words in a mount's options that have an effect: how mounts propagate from it.
pub(crate) const PROPAGATION: &[(&str, MsFlags)] = &[
    ("private", MsFlags::MS_PRIVATE),
    ("shared", MsFlags::MS_SHARED),
    ("slave", MsFlags::MS_SLAVE),
    ("unbindable", MsFlags::MS_UNBINDABLE),
    ("rprivate", MsFlags::MS_PRIVATE.union(MsFlags::MS_REC)),
    ("rshared", MsFlags::MS_SHARED.union(MsFlags::MS_REC)),
    ("rslave", MsFlags::MS_SLAVE.union(MsFlags::MS_REC)),
    ("runbindable", MsFlags::MS_UNBINDABLE.union(MsFlags::MS_REC)),
];

/// Mounts `source` on `target`, which must exist.
pub(super) fn mount(
    source: &Path,
    target: &Path,
    kind: &str,
    flags: MsFlags,
    data: &str,
) -> Result<(), Error> {
    let directory = Directory::open(target).map_err(Error::io("opening", target))?;
    let failed = |error| Error::Mount {
        source_path: source.to_owned(),
        target: target.to_owned(),
        kind: kind.to_owned(),
        source: error,
    };
    nix::mount::mount(Some(source), &directory.path(), Some(kind), flags, Some(data)).map_err(failed)
}

/// Binds the directory `source` to `target`; both must exist.
pub(super) fn bind(source: &Path, target: &Path) -> Result<(), Error> {
    let directory = Directory::open(source).map_err(Error::io("opening", source))?;
    mount(&directory.path(), target, "", MsFlags::MS_BIND, "")
}

/// As [`bind`], and nothing can be written through it.
pub(super) fn bind_read_only(source: &Path, target: &Path) -> Result<(), Error> {
    bind(source, target)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(target, target, "", flags, "").inspect_err(|_| drop(unmount(target)))
}

/// Applies the propagation words among `options`.
pub(super) fn propagate(target: &Path, options: &[String]) -> Result<(), Error> {
    for option in options {
        if let Some((_, flag)) = PROPAGATION.iter().find(|(word, _)| word == option) {
            mount(target, target, "", *flag, "")?;
        }
    }
    Ok(())
}

/// Creates a directory and its parents, without following links.
pub(super) fn create_directory(path: &Path, mode: u32) -> Result<(), Error> {
    Directory::create(path, mode).map(drop).map_err(Error::io("creating", path))
}

/// Mounts `lower` and a directory for changes, both below `base` but for the first, at `base/content`; returns that.
pub(crate) fn overlay_directory(base: &Path, lower: &Path) -> Result<PathBuf, Error> {
    if let Some(bad) = [base, lower].iter().find(|path| path.to_string_lossy().contains([':', ',', '\\'])) {
        return Err(Error::Invalid(format!("{} cannot be part of an overlay", bad.display())));
    }
    let [content, upper, work] = ["content", "upper", "work"].map(|name| base.join(name));
    for directory in [&content, &upper, &work] {
        create_directory(directory, 0o755)?;
    }
    let data =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    mount(Path::new("overlay"), &content, "overlay", MsFlags::empty(), &data)?;
    Ok(content)
}

/// Takes off everything that is mounted on `path`. A path that does not exist is fine.
pub(super) fn unmount(path: &Path) -> Result<(), Error> {
    // Not the directory itself: what is open cannot be unmounted.
    let Some((parent, name)) = parent_of(path)? else { return Ok(()) };
    let place = parent.path().join(name);
    for _ in 0..MOST_STACKED {
        match umount2(&place, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(Error::io("unmounting", path)(error.into())),
        }
    }
    Err(Error::io("unmounting", path)(io::ErrorKind::ResourceBusy.into()))
}

/// As [`unmount`], and removes the directory. What lies in it was never ours, so a directory that is not empty
/// stays.
pub(super) fn unmount_and_remove(path: &Path) -> Result<(), Error> {
    unmount(path)?;
    let Some((parent, name)) = parent_of(path)? else { return Ok(()) };
    match fs::remove_dir(parent.path().join(name)) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(Error::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// The directory in which `path` is, if it exists, and the name there.
fn parent_of(path: &Path) -> Result<Option<(Directory, &OsStr)>, Error> {
    match Directory::parent_of(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(Error::io("finding", path)),
    }
}

/// Links a block device to `target`, and makes the directories on the way.
pub(super) fn link(device: &Path, target: &Path, mode: u32) -> Result<(), Error> {
    if let Some(parent) = target.parent() {
        create_directory(parent, mode)?;
    }
    let linked =
        Directory::parent_of(target).and_then(|(parent, name)| symlink(device, parent.path().join(name)));
    linked.map_err(Error::io("linking", target))
}

/// Removes a link. One that does not exist is fine.
pub(super) fn unlink(target: &Path) -> Result<(), Error> {
    let Some((parent, name)) = parent_of(target)? else { return Ok(()) };
    match fs::remove_file(parent.path().join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", target)(error)),
        _ => Ok(()),
    }
}

/// Whether something is mounted on the directory.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let Some(parent) = path.parent() else { return true };
    match (fs::symlink_metadata(path), fs::metadata(parent)) {
        (Ok(own), Ok(parent)) => own.is_dir() && own.dev() != parent.dev(),
        _ => false,
    }
}
