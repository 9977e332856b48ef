//! Manifests and indexes (distribution-spec, "Pulling manifests").
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use super::RegistryError;
use super::source::{Part, Source};
use crate::Digest;
use crate::model::media;

/// Larger ones are refused by registries, too.
const MAX_MANIFEST: usize = 4 << 20;

/// A document as it came, its digest checked.
pub(super) struct Document {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

impl Source<'_> {
    /// The document called `name`, a tag or a digest.
    pub(super) fn manifest(&self, name: &str) -> Result<Document, RegistryError> {
        let types = [media::INDEX, media::DOCKER_LIST, media::MANIFEST, media::DOCKER_MANIFEST];
        self.ask(Part { kind: "manifests", name }, |asked| {
            // What there is to show has been told by then; this counts for registries that ask for nothing.
            let auth = RegistryAuth::Anonymous;
            let (bytes, _) = self.wait(asked.client.pull_manifest_raw(&asked.image, &auth, &types))??;
            Ok(document(name, &asked.url, bytes.into())?)
        })
    }
}

fn document(name: &str, url: &str, bytes: Vec<u8>) -> Result<Document, RegistryError> {
    let lie = |reason: String| RegistryError::Lie { url: url.to_owned(), reason };
    if bytes.len() > MAX_MANIFEST {
        return Err(lie("more than the 4 MiB allowed for a manifest".to_owned()));
    }
    // The library may have compared a digest of another kind.
    let digest = Digest::of(&bytes);
    if let Ok(promised) = name.parse::<Digest>()
        && promised != digest
    {
        return Err(lie(format!("the content is {digest}, not {promised}")));
    }
    let kind: Kind = serde_json::from_slice(&bytes).map_err(|source| RegistryError::Json {
        host: url.split('/').nth(2).unwrap_or_default().to_owned(),
        object: name.to_owned(),
        source,
    })?;
    let shape = if kind.manifests.is_some() { media::INDEX } else { media::MANIFEST };
    Ok(Document { media_type: kind.media_type.unwrap_or_else(|| shape.to_owned()), digest, bytes })
}
