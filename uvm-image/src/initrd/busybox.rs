//! busybox for debug images: the build machine's own, with all its names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::elf::{self, ElfError};

/// Where Debian's package `busybox-static` has it.
pub const BUSYBOX: &str = "/bin/busybox";

/// Why there is no busybox to put into an image.
#[derive(Debug, thiserror::Error)]
pub enum BusyboxError {
    /// It is not installed.
    #[error("--debug needs {}; install the package busybox-static", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It needs shared libraries, or is no program.
    #[error("--debug needs a static busybox, {} is not one; install the package busybox-static", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// It does not run.
    #[error("cannot ask {} for its names (--list-full)", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// A static busybox and the paths under which it wants to be found.
#[derive(Debug)]
pub struct Busybox {
    /// The binary.
    pub bytes: Vec<u8>,
    /// Paths without leading slash.
    pub names: Vec<String>,
}

impl Busybox {
    /// Reads the busybox at `path` and asks it for its names.
    pub fn read(path: &Path) -> Result<Self, BusyboxError> {
        let bytes =
            fs::read(path).map_err(|source| BusyboxError::Absent { path: path.to_owned(), source })?;
        elf::check_static_program(&bytes)
            .map_err(|source| BusyboxError::Unusable { path: path.to_owned(), source })?;
        let list = |source| BusyboxError::List { path: path.to_owned(), source };
        let output = Command::new(path).arg("--list-full").output().map_err(list)?;
        let names: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        if !output.status.success() || names.is_empty() {
            return Err(list(io::Error::other(format!("it ended with {}", output.status))));
        }
        Ok(Self { bytes, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_package() {
        for path in ["/nonexistent/busybox", file!()] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
            let error = Busybox::read(&path).unwrap_err().to_string();
            assert!(error.contains("busybox-static"), "{error}");
        }
    }

    #[test]
    fn the_installed_one_lists_its_names() {
        match Busybox::read(Path::new(BUSYBOX)) {
            Ok(busybox) => assert!(busybox.names.iter().any(|name| name == "bin/sh"), "{:?}", busybox.names),
            Err(error) => println!("skipped: {error}"),
        }
    }
}
