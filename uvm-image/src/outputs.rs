//! Output files in their directory: all of them or none.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::interrupt::{Directory, Unfinished};
use crate::sums;

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
    /// Names and sums of those that are there.
    written: Vec<(String, String)>,
    /// Names that are to go, if they are there.
    unwanted: Vec<String>,
    unfinished: Unfinished,
}

/// What came and what went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// The new files' names and sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// The names of those that went.
    pub removed: Vec<String>,
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
        Ok(Self { directory, exists, new, written: Vec::new(), unwanted: Vec::new(), unfinished })
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
        if is_directory(&path) {
            return Err(fault(io::ErrorKind::IsADirectory.into()).into());
        }
        let file = File::create(self.new.path().join(FILES).join(name)).map_err(fault)?;
        let mut out = BufWriter::with_capacity(1 << 20, Summed { file, hash: Sha256::new() });
        body(&mut out)?;
        let summed = out.into_inner().map_err(|error| fault(error.into_error()))?;
        self.written.push((name.to_owned(), hex(&summed.hash.finalize())));
        Ok(())
    }

    /// Writes the file `name` with these bytes.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        let path = self.path(name);
        self.file(name, |out| out.write_all(bytes).map_err(|source| OutputError { path, source }))
    }

    /// Writes `files` (name, content), and the list of their sums. Those of our outputs that the list of an earlier build
    /// names and this one does not make go: a directory is one set.
    pub fn boot_files(&mut self, files: &[(&str, &[u8])]) -> Result<(), OutputError> {
        let before = self.written.len();
        for (name, bytes) in files {
            self.bytes(name, bytes)?;
        }
        let kept: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        for name in sums::outputs_of(&self.directory, &kept) {
            self.unwanted(name);
        }
        let written = self.written[before..].to_vec();
        self.list(sums::LIST, &written)
    }

    /// Writes the list of those of LinuxKit's outputs that begin with `name`. Others of that name, which earlier builds have
    /// made, stay where they are and in the list.
    pub fn native_list(&mut self, name: &str) -> Result<(), OutputError> {
        let is_native = |(file, _): &&(String, String)| {
            file.strip_prefix(name).is_some_and(|end| sums::NATIVE.contains(&end))
        };
        let mut files: Vec<(String, String)> = self.written.iter().filter(is_native).cloned().collect();
        let replaced: Vec<&str> = files.iter().map(|(file, _)| &file[..]).collect();
        let kept = sums::kept_of(&self.directory, name, &replaced);
        files.extend(kept);
        files.sort();
        self.list(&sums::list_of(name), &files)
    }

    fn list(&mut self, list: &str, files: &[(String, String)]) -> Result<(), OutputError> {
        if let Some(line) = sums::foreign_line(&self.directory, list) {
            let source = io::Error::other(format!(
                "line {line} is none of ours, and the list would be replaced: take another directory"
            ));
            return Err(OutputError { path: self.path(list), source });
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(name, sum)| (&name[..], &sum[..])).collect();
        self.bytes(list, sums::text(&files).as_bytes())
    }

    /// The file `name` goes when the others come, unless it is one of them.
    pub fn unwanted(&mut self, name: &str) {
        self.unwanted.push(name.to_owned());
    }

    /// Puts all files in their places. Whatever fails, the directory is as it was.
    pub fn finish(self) -> Result<Finished, OutputError> {
        let new = self.new.path().join(FILES);
        let mut files = Vec::new();
        for (name, _) in &self.written {
            let path = self.path(name);
            let size = new.join(name).metadata().map_err(|source| OutputError { path, source })?.len();
            files.push((name.clone(), size));
        }
        let held = self.unfinished.hold();
        let removed = if self.exists {
            self.replace(&new)?
        } else {
            let fault = |source| OutputError { path: self.directory.clone(), source };
            fs::rename(&new, &self.directory).map_err(fault)?;
            Vec::new()
        };
        drop(held);
        Ok(Finished { files, removed })
    }

    /// Takes old files aside and moves those in `new` to their places; gives the names of those that only went.
    fn replace(&self, new: &Path) -> Result<Vec<String>, OutputError> {
        let old = self.new.path().join(OLD);
        fs::create_dir(&old).map_err(|source| OutputError { path: self.directory.clone(), source })?;
        let mut removed: Vec<String> = self.unwanted.clone();
        removed.sort();
        removed.dedup();
        let names: Vec<&String> = self.written.iter().map(|(name, _)| name).collect();
        removed.retain(|name| !names.contains(&name) && is_file(&self.path(name)));
        let mut moves = Moves::default();
        for name in names.iter().copied().chain(&removed) {
            let path = self.path(name);
            let fault = |source| OutputError { path: path.clone(), source };
            // One that came in the meantime is nobody's old file.
            if is_directory(&path) {
                return Err(fault(io::ErrorKind::IsADirectory.into()));
            }
            if path.symlink_metadata().is_ok() {
                let replaced = names.contains(&name);
                moves.aside(path.clone(), old.join(name), replaced).map_err(fault)?;
            }
        }
        for name in names {
            let path = self.path(name);
            moves.make(new.join(name), path.clone()).map_err(|source| OutputError { path, source })?;
        }
        moves.keep();
        Ok(removed)
    }
}

/// A file whose sum is known in the end.
struct Summed {
    file: File,
    hash: Sha256,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Files that were moved, and move back unless they are kept.
#[derive(Default)]
struct Moves(Vec<(PathBuf, PathBuf)>);

impl Moves {
    fn make(&mut self, from: PathBuf, to: PathBuf) -> io::Result<()> {
        fs::rename(&from, &to)?;
        self.0.push((from, to));
        Ok(())
    }

    /// Moves a file that is to be `replaced` or to go. One that is replaced keeps its name until then, where files can have
    /// two names: nobody finds it missing, whenever the program is killed.
    fn aside(&mut self, from: PathBuf, to: PathBuf, replaced: bool) -> io::Result<()> {
        if replaced && fs::hard_link(&from, &to).is_ok() {
            self.0.push((from, to));
            return Ok(());
        }
        self.make(from, to)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Moves {
    fn drop(&mut self) {
        for (from, to) in self.0.iter().rev() {
            // Where a file could be moved a moment ago, only the file system's end keeps it from moving back.
            let _ = fs::rename(to, from);
        }
    }
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| !meta.is_dir())
}

/// Where the files are while they are not in their place.
const FILES: &str = "files";
/// Where old ones are until the new ones are in theirs.
const OLD: &str = "old";

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
    fn a_directory_in_the_place_of_a_file_leaves_the_old_set() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("a", b"old"), ("b", b"old")]).unwrap();
        fs::create_dir(root.path().join("c")).unwrap();
        let error = write(root.path(), &[("a", b"new"), ("b", b"new"), ("c", b"new")]).unwrap_err();
        assert_eq!((error.path, error.source.kind()), (root.path().join("c"), io::ErrorKind::IsADirectory));
        // Also when it comes late.
        let mut staging = Staging::new(root.path(), &Unfinished::default()).unwrap();
        for name in ["a", "d"] {
            staging.bytes(name, b"new").unwrap();
        }
        fs::create_dir(root.path().join("d")).unwrap();
        assert!(staging.finish().is_err());
        assert_eq!(names(root.path()), ["a", "b", "c", "d"]);
        assert_eq!(fs::read(root.path().join("a")).unwrap(), b"old");
        // And when a new file cannot be moved, though one before it could.
        let mut staging = Staging::new(root.path(), &Unfinished::default()).unwrap();
        for name in ["a", "b", "e"] {
            staging.bytes(name, b"new").unwrap();
        }
        let new = staging.new.path().join(FILES);
        fs::remove_file(new.join("e")).unwrap();
        fs::write(root.path().join("f"), b"old").unwrap();
        staging.unwanted("f");
        assert_eq!(staging.replace(&new).unwrap_err().path, root.path().join("e"));
        drop(staging);
        assert_eq!(fs::read(root.path().join("a")).unwrap(), b"old");
        fs::remove_file(root.path().join("f")).unwrap();
        assert_eq!(names(root.path()), ["a", "b", "c", "d"]);
        assert_eq!(fs::read(root.path().join("b")).unwrap(), b"old");
    }

    #[test]
    fn a_directory_is_one_set() {
        let root = tempfile::tempdir().unwrap();
        let stage = |files: &[(&str, &[u8])]| {
            let mut staging = Staging::new(root.path(), &Unfinished::default()).unwrap();
            staging.boot_files(files).map(|()| staging)
        };
        let build = |files: &[(&str, &[u8])]| stage(files).unwrap().finish().unwrap();
        assert_eq!(build(&[("kernel", b"1"), ("vmlinux", b"1")]).removed, [""; 0]);
        // Neither is ours: what we never make, and what no build of ours has listed.
        fs::write(root.path().join("mine"), "").unwrap();
        fs::write(root.path().join("rootfs.vhd"), "").unwrap();
        assert_eq!(build(&[("kernel", b"2"), ("initrd.img", b"2")]).removed, ["vmlinux"]);
        assert_eq!(names(root.path()), ["SHA256SUMS", "initrd.img", "kernel", "mine", "rootfs.vhd"]);
        assert!(sums::verify(root.path()).is_some_and(|faults| faults.len() == 1));
        // Somebody else's list is not replaced.
        let list = sums::text(&[("mine", &sums::sum(b""))]);
        fs::write(root.path().join(sums::LIST), &list).unwrap();
        assert_eq!(stage(&[("kernel", b"3")]).err().unwrap().path, root.path().join(sums::LIST));
        assert_eq!(fs::read_to_string(root.path().join(sums::LIST)).unwrap(), list);
    }

    #[test]
    fn linuxkits_outputs_stay_beside_each_other() {
        let root = tempfile::tempdir().unwrap();
        let build = |name: &str, files: &[(&str, &[u8])]| {
            let mut staging = Staging::new(root.path(), &Unfinished::default()).unwrap();
            for (name, bytes) in files {
                staging.bytes(name, bytes).unwrap();
            }
            staging.native_list(name).map(|()| staging.finish().unwrap().removed)
        };
        assert_eq!(build("x", &[("x-kernel", b"1"), ("x-initrd.img", b"1")]).unwrap(), [""; 0]);
        assert_eq!(build("y", &[("y.tar", b"1")]).unwrap(), [""; 0]);
        assert_eq!(build("x", &[("x-initrd.img", b"2"), ("x.tar", b"2")]).unwrap(), [""; 0]);
        let lines = fs::read_to_string(root.path().join("x-SHA256SUMS")).unwrap();
        let listed: Vec<&str> = lines.lines().map(|line| &line[66..]).collect();
        assert_eq!(listed, ["x-initrd.img", "x-kernel", "x.tar"]);
        let faults = sums::verify_native(root.path());
        assert!(faults.len() == 2 && faults.iter().all(|(_, faults)| faults.is_empty()), "{faults:?}");
        fs::write(root.path().join("y-SHA256SUMS"), "mine\n").unwrap();
        assert_eq!(build("y", &[("y.tar", b"2")]).unwrap_err().path, root.path().join("y-SHA256SUMS"));
        assert_eq!(fs::read(root.path().join("y.tar")).unwrap(), b"1");
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
