//! What is linked into the agent: a list beside its binary, which `cargo xtask build` makes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::sbom::Package;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkedError {
    /// It cannot be read.
    #[error("cannot read {}, the list of what is linked into the guest agent", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is no such list.
    #[error("{} is no list of what is linked into the guest agent", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct List {
    program_sha256: String,
    packages: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    version: String,
    license: Option<String>,
    sha256: Option<String>,
    url: Option<String>,
    supplier: Option<String>,
}

impl From<Item> for Package {
    fn from(item: Item) -> Self {
        Self {
            name: item.name,
            version: Some(item.version),
            license: item.license,
            sha256: item.sha256,
            url: item.url,
            source: None,
            supplier: item.supplier,
        }
    }
}

/// What is linked into the program at `path` whose SHA-256 is `sha256`; `None` if nothing says so. A list that was made
/// for another program says nothing.
pub fn read(path: &Path, sha256: &str) -> Result<Option<Vec<Package>>, LinkedError> {
    let path = beside(path);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LinkedError::Read { path, source }),
    };
    let list: List =
        serde_json::from_slice(&bytes).map_err(|source| LinkedError::Damaged { path, source })?;
    let is_its = list.program_sha256 == sha256;
    Ok(is_its.then(|| list.packages.into_iter().map(Package::from).collect()))
}

/// Where the list for the program at `path` is.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".linked.json");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_counts_for_its_own_program_only() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("guest-agent");
        assert_eq!(read(&program, "aa").unwrap(), None);
        let list = dir.path().join("guest-agent.linked.json");
        let text = r#"{"program_sha256": "aa", "packages": [
            {"name": "libc", "version": "0.2.1", "license": "MIT", "sha256": "bb", "url": "pkg:cargo/libc@0.2.1"},
            {"name": "lcow-own", "version": "0.1.0", "supplier": "Organization: lcow"}]}"#;
        fs::write(&list, text).unwrap();
        assert_eq!(read(&program, "cc").unwrap(), None);
        let found = read(&program, "aa").unwrap().unwrap();
        assert_eq!((found.len(), found[0].license.as_deref()), (2, Some("MIT")));
        assert_eq!(found[1].supplier.as_deref(), Some("Organization: lcow"));
        fs::write(&list, "{").unwrap();
        let error = read(&program, "aa").unwrap_err().to_string();
        assert!(error.contains("guest-agent.linked.json is no list"), "{error}");
        fs::remove_file(&list).unwrap();
        fs::create_dir(&list).unwrap();
        assert!(matches!(read(&program, "aa"), Err(LinkedError::Read { .. })));
    }
}
