//! Output files in their directory: all of them or none.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::interrupt::{Directory, Unfinished};

/// Outputs cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct OutputError {
    /// The file or directory.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

/// Files beside their place, which they all reach in the end or none does: neither a full disk nor an interruption leaves
/// some of them.
pub struct Staging {
    directory: PathBuf,
    exists: bool,
    /// Goes with what is in it.
    new: Directory,
    names: Vec<String>,
    unfinished: Unfinished,
}

impl Staging {
    /// For files in `directory`, which is made in the end if need be.
    pub fn new(directory: &Path, unfinished: &Unfinished) -> Result<Self, OutputError> {
        let exists = directory.is_dir();
        let parent = if exists { directory } else { parent_of(directory) };
        let fault = |source| OutputError { path: directory.to_owned(), source };
        // Said before anything takes time, and of the file that is in the way.
        let there = directory.ancestors().find(|path| path.exists());
        if let Some(path) = there.filter(|path| !path.is_dir()) {
            return Err(OutputError { path: path.to_owned(), source: io::ErrorKind::NotADirectory.into() });
        }
        fs::create_dir_all(parent).map_err(fault)?;
        let new = unfinished.directory(".uvm-build-", parent).map_err(fault)?;
        fs::create_dir(new.path().join(FILES)).map_err(fault)?;
        let (directory, unfinished) = (directory.to_owned(), unfinished.clone());
        Ok(Self { directory, exists, new, names: Vec::new(), unfinished })
    }

    /// Where the file `name` will be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes the file `name` with `body`.
    pub fn file<E: From<OutputError>>(
        &mut self,
        name: &str,
        body: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.path(name);
        let fault = |source| OutputError { path: path.clone(), source };
        let file = File::create(self.new.path().join(FILES).join(name)).map_err(fault)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        body(&mut out)?;
        out.flush().map_err(fault)?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Writes the file `name` with these bytes.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        let path = self.path(name);
        self.file(name, |out| out.write_all(bytes).map_err(|source| OutputError { path, source }))
    }

    /// Writes `files` (name, content), and the list of their sums.
    pub fn boot_files(&mut self, files: &[(&str, &[u8])]) -> Result<(), OutputError> {
        for (name, bytes) in files {
            self.bytes(name, bytes)?;
        }
        self.bytes("SHA256SUMS", sums(files).as_bytes())
    }

    /// Puts all files in their places and gives their names and sizes.
    pub fn finish(self) -> Result<Vec<(String, u64)>, OutputError> {
        let new = self.new.path().join(FILES);
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| OutputError { path, source }
        };
        let mut all = Vec::new();
        for name in &self.names {
            let size = new.join(name).metadata().map_err(fault(&self.path(name)))?.len();
            all.push((name.clone(), size));
        }
        let held = self.unfinished.hold();
        if self.exists {
            for name in &self.names {
                fs::rename(new.join(name), self.path(name)).map_err(fault(&self.path(name)))?;
            }
        } else {
            fs::rename(&new, &self.directory).map_err(fault(&self.directory))?;
        }
        drop(held);
        Ok(all)
    }
}

/// Where the files are while they are not in their place.
const FILES: &str = "files";

/// The text of `SHA256SUMS` for `files`, as `sha256sum -c` reads it.
fn sums(files: &[(&str, &[u8])]) -> String {
    let line = |(name, bytes): &(&str, &[u8])| format!("{}  {name}", hex(&Sha256::digest(bytes)));
    files.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn parent_of(directory: &Path) -> &Path {
    directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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

    fn write(dir: &Path, files: &[(&str, &[u8])]) -> Result<(), OutputError> {
        let mut staging = Staging::new(dir, &Unfinished::default())?;
        for (name, bytes) in files {
            staging.bytes(name, bytes)?;
        }
        staging.finish().map(drop)
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
        assert!(error.contains("cannot write"), "{error}");
        // The second file's name cannot be written, so the first must not appear either.
        let dir = root.path().join("boot");
        assert!(write(&dir, &[("kernel", b"one"), ("no/such/dir", b"two")]).is_err());
        assert_eq!(names(root.path()), ["file"]);
    }

    #[test]
    fn an_interruption_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::default();
        let mut staging = Staging::new(root.path(), &unfinished).unwrap();
        staging.bytes("kernel", b"one").unwrap();
        drop(unfinished.remove());
        assert_eq!(names(root.path()), [""; 0]);
        assert!(staging.finish().is_err());
    }
}
