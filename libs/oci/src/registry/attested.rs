//! What registries have about an image besides the image.
use std::io::Read;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::blob::BlobReader;
use super::source::Source;
use super::{Observer, Pulled, Registry, RegistryError};
use crate::attestation::{Statement, manifests, package_lists};
use crate::model::{Descriptor, Index, Manifest, media};
use crate::{Digest, Reference};

/// A list of packages in bytes; that of a whole distribution has some ten megabytes. Larger ones are left out.
const MAX_LIST: u64 = 64 << 20;

/// The lists of packages, as SPDX documents, that a registry has beside the image that was `pulled` by the name `reference`;
/// without those of more than 64 MiB.
pub fn package_lists_of(
    registry: &Registry,
    reference: &Reference,
    pulled: &Pulled,
    observer: &dyn Observer,
) -> Result<Vec<Value>, RegistryError> {
    let mut lists = Vec::new();
    // Only an index has a place for anything besides the image.
    if pulled.named == pulled.digest {
        return Ok(lists);
    }
    let stopped = CancellationToken::new();
    let source = Source::new(registry, reference, &stopped, observer);
    let named = source.manifest(&pulled.named.to_string())?;
    if !matches!(named.media_type.as_str(), media::INDEX | media::DOCKER_LIST) {
        return Ok(lists);
    }
    let index: Index = parse(&source, &named.digest, &named.bytes)?;
    for about in manifests(&index, &pulled.digest) {
        let document = source.manifest(&about.digest.to_string())?;
        let manifest: Manifest = parse(&source, &document.digest, &document.bytes)?;
        for list in package_lists(&manifest).filter(|list| list.size <= MAX_LIST) {
            let bytes = blob(&source, list)?;
            lists.push(parse::<Statement>(&source, &list.digest, &bytes)?.predicate);
        }
    }
    Ok(lists)
}

fn blob(source: &Source<'_>, descriptor: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    let url = || format!("{}: blob {}", source.host(), descriptor.digest);
    let mut bytes = Vec::new();
    BlobReader::new(source, descriptor, 0).read_to_end(&mut bytes).map_err(|error| {
        match error.downcast::<RegistryError>() {
            Ok(error) => error,
            Err(error) => super::failure::broken(&url(), error),
        }
    })?;
    if Digest::of(&bytes) != descriptor.digest {
        return Err(RegistryError::Lie { url: url(), reason: "the digest differs".to_owned() });
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(
    source: &Source<'_>,
    digest: &Digest,
    bytes: &[u8],
) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (host, object) = (source.host().to_owned(), digest.to_string());
        RegistryError::Json { host, object, source: error }
    })
}
