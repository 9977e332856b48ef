//! What `BuildKit` says of an image, beside it in its index: statements in manifests of their own
//! (github.com/moby/buildkit, docs/attestations/attestation-storage.md).
use serde::Deserialize;
use serde_json::Value;

use crate::Digest;
use crate::model::{Descriptor, Index, Manifest};

const KIND: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
const SUBJECT: &str = "vnd.docker.reference.digest";
const PREDICATE: &str = "in-toto.io/predicate-type";
const SPDX: &str = "https://spdx.dev/Document";

/// Manifests in `index` of what is said of the image `subject`.
pub fn manifests<'a>(index: &'a Index, subject: &Digest) -> impl Iterator<Item = &'a Descriptor> {
    let subject = subject.to_string();
    index.manifests.iter().filter(move |one| {
        annotation(one, KIND) == Some(ATTESTATION) && annotation(one, SUBJECT) == Some(&subject)
    })
}

/// The statements in `manifest` that list packages, as SPDX documents.
pub fn package_lists(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    manifest.layers.iter().filter(|layer| annotation(layer, PREDICATE) == Some(SPDX))
}

/// A statement (github.com/in-toto/attestation, spec/v1/statement.md).
#[derive(Clone, Debug, Deserialize)]
pub struct Statement {
    /// What it says.
    pub predicate: Value,
}

fn annotation<'a>(descriptor: &'a Descriptor, name: &str) -> Option<&'a str> {
    descriptor.annotations.get(name).map(String::as_str)
}
