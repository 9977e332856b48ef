//! What `BuildKit` says is in an image: SPDX documents in in-toto statements, beside the image in its index
//! (github.com/moby/buildkit, docs/attestations).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lcow_oci::model::{Descriptor, IMAGE_NAME, Index, Manifest, REF_NAME};
use lcow_oci::{Digest, Reference};
use serde::de::DeserializeOwned;
use serde_json::Value;

const KIND: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
const SUBJECT: &str = "vnd.docker.reference.digest";
const PREDICATE: &str = "in-toto.io/predicate-type";
const SPDX: &str = "https://spdx.dev/Document";

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
        for attestation in inner.manifests.iter().filter(|one| is_about(one, digest)) {
            let manifest: Manifest = blob(layout, &attestation.digest)?;
            let spdx = manifest.layers.iter().filter(|layer| annotation(layer, PREDICATE) == Some(SPDX));
            for layer in spdx {
                let mut statement: Value = blob(layout, &layer.digest)?;
                found.push(statement["predicate"].take());
            }
        }
    }
    Ok(found)
}

fn annotation<'a>(descriptor: &'a Descriptor, name: &str) -> Option<&'a str> {
    descriptor.annotations.get(name).map(String::as_str)
}

fn is_called(descriptor: &Descriptor, reference: &Reference) -> bool {
    let name = annotation(descriptor, IMAGE_NAME).or_else(|| annotation(descriptor, REF_NAME));
    name.is_some_and(|name| name.parse::<Reference>().is_ok_and(|name| name == *reference))
}

fn is_about(descriptor: &Descriptor, digest: &Digest) -> bool {
    annotation(descriptor, KIND) == Some(ATTESTATION)
        && annotation(descriptor, SUBJECT) == Some(&digest.to_string())
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
