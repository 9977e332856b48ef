//! Directories that the containers of a pod share (spec sections 7.4 to 7.6).

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use super::walk::{self, Directory};
use super::{Error, mounts};

/// Where the mounts of this namespace are listed (proc(5)).
const MOUNT_TABLE: &str = "/proc/self/mountinfo";

/// Creates `path` and makes what is mounted below it visible wherever it is bound.
pub(crate) fn share_directory(path: &Path) -> Result<(), Error> {
    mounts::create_directory(path, 0o755)?;
    mounts::bind(path, path)?;
    mounts::propagate(path, &["rshared".to_owned()])
}

/// As [`share_directory`], in memory.
pub(crate) fn share_memory(path: &Path) -> Result<(), Error> {
    mounts::create_directory(path, 0o755)?;
    mounts::mount(Path::new("tmpfs"), path, "tmpfs", MsFlags::empty(), "")?;
    share_directory(path)
}

/// Creates `path`, for everybody to write, unless there is something. That it is a link, or that there
/// is one on the way, is an error: it would lead out of what the containers of a pod share.
pub(crate) fn create_open_directory(path: &Path) -> Result<(), Error> {
    if walk::is_there(path).map_err(Error::io("looking at", path))? {
        return Ok(());
    }
    let directory = Directory::create(path, 0o777).map_err(Error::io("creating", path))?;
    // The umask has taken something off.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))
        .map_err(Error::io("opening to everybody", path))
}

/// As [`create_open_directory`], and mounts pages of `size` there if it is new.
pub(crate) fn share_huge_pages(path: &Path, size: &str) -> Result<(), Error> {
    if walk::is_there(path).map_err(Error::io("looking at", path))? {
        return Ok(());
    }
    create_open_directory(path)?;
    let data = format!("pagesize={size}");
    mounts::mount(Path::new("none"), path, "hugetlbfs", MsFlags::empty(), &data)
        .inspect_err(|_| drop(fs::remove_dir(path)))
}

/// Takes off everything that is mounted on `path` or below it, what came last first.
pub(crate) fn unmount_all(path: &Path) -> Result<(), Error> {
    let table = fs::read_to_string(MOUNT_TABLE).map_err(Error::io("reading", Path::new(MOUNT_TABLE)))?;
    for place in mounted_below(&table, path) {
        mounts::unmount(&place)?;
    }
    Ok(())
}

/// Removes `path` if it is empty. That it is gone, or not empty, is fine.
pub(crate) fn remove_if_empty(path: &Path) -> Result<(), Error> {
    match fs::remove_dir(path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(Error::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}

fn mounted_below(table: &str, path: &Path) -> Vec<PathBuf> {
    let places = table.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    places.filter(|place| place.starts_with(path)).collect()
}

/// The table writes blanks and backslashes as `\` and three octal digits.
fn unescape(field: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_no_shared_directory() {
        let base =
            fs::canonicalize(std::env::temp_dir()).unwrap().join(format!("shared-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        create_open_directory(&base.join("a/b")).unwrap();
        create_open_directory(&base.join("a/b")).unwrap();
        fs::write(base.join("a/file"), "").unwrap();
        create_open_directory(&base.join("a/file")).unwrap();
        std::os::unix::fs::symlink("/", base.join("a/link")).unwrap();
        for path in ["a/link", "a/link/etc", "a/link/new", "a/file/new"] {
            assert!(create_open_directory(&base.join(path)).is_err(), "{path}");
        }
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn mounts_below_a_path_come_last_first_and_neighbours_do_not() {
        let table = "20 1 0:1 / / rw - rootfs none rw\n\
            21 20 0:2 / /run/pod/sandboxMounts rw shared:1 - tmpfs tmpfs rw\n\
            22 20 0:2 / /run/pod/sandboxMountsX rw - tmpfs tmpfs rw\n\
            23 21 0:3 / /run/pod/sandboxMounts/a\\040b rw - tmpfs tmpfs rw\n";
        let found = mounted_below(table, Path::new("/run/pod/sandboxMounts"));
        assert_eq!(found, [Path::new("/run/pod/sandboxMounts/a b"), Path::new("/run/pod/sandboxMounts")]);
    }
}
