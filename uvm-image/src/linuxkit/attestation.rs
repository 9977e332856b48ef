//! What `BuildKit` says is in an image: SPDX documents beside it in an OCI layout, and what of them is kept for builds that
//! have no more than the store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lcow_oci::attestation::{Statement, manifests, package_lists};
use lcow_oci::model::{Descriptor, IMAGE_NAME, Index, Manifest, REF_NAME};
use lcow_oci::{Digest, Reference};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why an attestation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// A file of the cache cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the cache cannot be written or removed.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A document is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong; `None` if it is not what its name says.
        source: Option<serde_json::Error>,
    },
}

/// SPDX documents about the image `digest`, called `reference` in the OCI layout `layout`; none if it is no directory.
pub fn documents(
    layout: &Path,
    reference: &Reference,
    digest: &Digest,
) -> Result<Vec<Value>, AttestationError> {
    let index = layout.join("index.json");
    if !index.is_file() {
        return Ok(Vec::new());
    }
    let index: Index = parse(&index, &read(&index)?)?;
    let mut found = Vec::new();
    for descriptor in index.manifests.iter().filter(|one| one.is_index() && is_called(one, reference)) {
        let inner: Index = blob(layout, &descriptor.digest)?;
        for attestation in manifests(&inner, digest) {
            let manifest: Manifest = blob(layout, &attestation.digest)?;
            for list in package_lists(&manifest) {
                let statement: Statement = blob(layout, &list.digest)?;
                found.push(statement.predicate);
            }
        }
    }
    Ok(found)
}

fn is_called(descriptor: &Descriptor, reference: &Reference) -> bool {
    let annotation = |name| descriptor.annotations.get(name);
    let name = annotation(IMAGE_NAME).or_else(|| annotation(REF_NAME));
    name.is_some_and(|name| name.parse::<Reference>().is_ok_and(|name| name == *reference))
}

fn blob<T: DeserializeOwned>(layout: &Path, digest: &Digest) -> Result<T, AttestationError> {
    let path = layout.join("blobs/sha256").join(digest.hex());
    let bytes = read(&path)?;
    if Digest::of(&bytes) != *digest {
        return Err(AttestationError::Damaged { path, source: None });
    }
    parse(&path, &bytes)
}

fn read(path: &Path) -> Result<Vec<u8>, AttestationError> {
    fs::read(path).map_err(|source| AttestationError::Read { path: path.to_owned(), source })
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, AttestationError> {
    serde_json::from_slice(bytes)
        .map_err(|source| AttestationError::Damaged { path: path.to_owned(), source: Some(source) })
}

/// Documents by the digest of the image they are about, in files of a directory: the store has images only, and the same
/// image must be listed in the same way whether it came just now or before.
#[derive(Debug, Clone)]
pub struct Kept {
    dir: PathBuf,
}

impl Kept {
    /// Those in `dir`, which is made when something is kept.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", digest.hex()))
    }

    /// What was kept about the image `digest`.
    pub fn get(&self, digest: &Digest) -> Result<Vec<Value>, AttestationError> {
        let path = self.path(digest);
        if !path.exists() {
            return Ok(Vec::new());
        }
        parse(&path, &read(&path)?)
    }

    /// Keeps `documents` about the image `digest`, whole or not at all, instead of what was kept.
    pub fn put(&self, digest: &Digest, documents: &[Value]) -> Result<(), AttestationError> {
        let path = self.path(digest);
        let write = || {
            if documents.is_empty() {
                return if path.exists() { fs::remove_file(&path) } else { Ok(()) };
            }
            fs::create_dir_all(&self.dir)?;
            let file = tempfile::NamedTempFile::new_in(&self.dir)?;
            serde_json::to_writer(io::BufWriter::new(file.as_file()), documents)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| AttestationError::Write { path: path.clone(), source })
    }

    /// Removes what is about other images than `digests`; gives the bytes of it.
    pub fn retain(&self, digests: &[Digest]) -> Result<u64, AttestationError> {
        let kept: Vec<PathBuf> = digests.iter().map(|digest| self.path(digest)).collect();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(AttestationError::Read { path: self.dir.clone(), source }),
        };
        let mut freed = 0;
        let documents = entries.flatten().map(|entry| entry.path());
        // Others are being written.
        let documents = documents.filter(|path| path.extension().is_some_and(|end| end == "json"));
        for path in documents.filter(|path| !kept.contains(path)) {
            let size = path.metadata().map_or(0, |metadata| metadata.len());
            fs::remove_file(&path).map_err(|source| AttestationError::Write { path, source })?;
            freed += size;
        }
        Ok(freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_kept_for_their_image() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path().join("attested"));
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let document = serde_json::json!({"packages": []});
        kept.put(&one, &[]).unwrap();
        assert!(!dir.path().join("attested").exists(), "nothing to keep");
        kept.put(&one, std::slice::from_ref(&document)).unwrap();
        kept.put(&two, std::slice::from_ref(&document)).unwrap();
        assert_eq!(kept.get(&one).unwrap(), [document]);
        assert!(kept.retain(&[two]).unwrap() > 0);
        assert_eq!((kept.get(&one).unwrap().len(), kept.get(&two).unwrap().len()), (0, 1));
        kept.put(&two, &[]).unwrap();
        assert_eq!(kept.get(&two).unwrap().len(), 0);
        fs::write(kept.path(&one), "[{").unwrap();
        assert!(matches!(kept.get(&one), Err(AttestationError::Damaged { .. })));
    }
}
