//! Boot files in their directory: all of them or none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::hex::hex;

/// The boot files cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write boot files to {}", path.display())]
pub struct OutputError {
    /// The file or directory.
    path: PathBuf,
    /// The system's reason.
    source: io::Error,
}

/// Writes `files` (name, content) into the directory `dir`, which is made if need be. They are first written completely
/// beside their place, so a full disk or an interruption leaves no half of them.
pub fn write(dir: &Path, files: &[(&str, &[u8])]) -> Result<(), OutputError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OutputError { path, source }
    };
    let exists = dir.is_dir();
    let parent = if exists { dir } else { parent_of(dir) };
    fs::create_dir_all(parent).map_err(failed(parent))?;
    let staging = TempDir::with_prefix_in(".uvm-build-", parent).map_err(failed(parent))?;
    let new = staging.path().join("boot");
    fs::create_dir(&new).map_err(failed(&new))?;
    for (name, bytes) in files {
        fs::write(new.join(name), bytes).map_err(failed(&dir.join(name)))?;
    }
    if !exists {
        return fs::rename(&new, dir).map_err(failed(dir));
    }
    for (name, _) in files {
        fs::rename(new.join(name), dir.join(name)).map_err(failed(&dir.join(name)))?;
    }
    Ok(())
}

/// The text of `SHA256SUMS` for `files` (name, content), as `sha256sum -c` reads it.
pub fn sums(files: &[(&str, &[u8])]) -> String {
    let line = |(name, bytes): &(&str, &[u8])| format!("{}  {name}", hex(&Sha256::digest(bytes)));
    files.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn parent_of(dir: &Path) -> &Path {
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn makes_the_directory_and_replaces_files() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/boot");
        write(&dir, &[("kernel", b"one"), ("initrd.img", b"two")]).unwrap();
        fs::write(dir.join("mine"), "kept").unwrap();
        write(&dir, &[("kernel", b"three")]).unwrap();
        assert_eq!(names(&dir), ["initrd.img", "kernel", "mine"]);
        assert_eq!(fs::read(dir.join("kernel")).unwrap(), b"three");
        assert_eq!(names(&root.path().join("a")), ["boot"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = write(&file.join("boot"), &[("kernel", b"one")]).unwrap_err().to_string();
        assert!(error.contains("cannot write boot files to"), "{error}");
        // The second file's name cannot be written, so the first must not appear either.
        let dir = root.path().join("boot");
        assert!(write(&dir, &[("kernel", b"one"), ("no/such/dir", b"two")]).is_err());
        assert_eq!(names(root.path()), ["file"]);
    }
}
