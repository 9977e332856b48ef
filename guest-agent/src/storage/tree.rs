//! Removing directory trees without ever following a mount out of them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Error;

/// Removes `path` and everything in it. What is gone is fine; a mount inside stops the removal there.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("looking at", path))?,
    };
    if metadata.is_dir() { remove_directory(path, metadata.dev()) } else { remove_file(path) }
}

fn remove_directory(path: &Path, device: u64) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(path).map_err(Error::io("looking at", path))?;
    if metadata.dev() != device {
        return Err(Error::MountInside(path.to_owned()));
    }
    for entry in fs::read_dir(path).map_err(Error::io("listing", path))? {
        let entry = entry.map_err(Error::io("listing", path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_directory(&entry.path(), device)?;
        } else {
            remove_file(&entry.path())?;
        }
    }
    fs::remove_dir(path).map_err(Error::io("removing", path))
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_removed_and_not_followed() {
        let base = std::env::temp_dir().join(format!("tree-{}", std::process::id()));
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
}
