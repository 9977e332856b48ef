//! Manifests and indexes (distribution-spec, "Pulling manifests").
use serde::Deserialize;
use ureq::http::header::{CONTENT_TYPE, HeaderName};

use super::RegistryError;
use super::http::Answer;
use super::source::{Part, Source};
use crate::Digest;
use crate::model::media;

/// Larger ones are refused by registries, too.
const MAX_MANIFEST: u64 = 4 << 20;
const DIGEST_HEADER: HeaderName = HeaderName::from_static("docker-content-digest");

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
        let accept = [("accept", types.join(", "))];
        self.ask(Part { kind: "manifests", name }, &accept, |url, answer| document(name, url, answer))
    }
}

fn document(name: &str, url: &str, answer: Answer) -> Result<Document, RegistryError> {
    let lie = |reason: String| RegistryError::Lie { url: url.to_owned(), reason };
    let announced = answer.header(DIGEST_HEADER).and_then(|text| text.parse::<Digest>().ok());
    let content_type = answer.header(CONTENT_TYPE).map(str::to_owned);
    let bytes = answer
        .bytes(MAX_MANIFEST)
        .map_err(|source| RegistryError::Connection { url: url.to_owned(), source })?;
    let digest = Digest::of(&bytes);
    for promised in name.parse::<Digest>().ok().into_iter().chain(announced) {
        if promised != digest {
            return Err(lie(format!("the content is {digest}, not {promised}")));
        }
    }
    let kind: Kind = serde_json::from_slice(&bytes).map_err(|source| RegistryError::Json {
        host: url.split('/').nth(2).unwrap_or_default().to_owned(),
        object: name.to_owned(),
        source,
    })?;
    // The document's own word counts; old ones have none.
    let media_type = kind.media_type.or_else(|| {
        let text = content_type?;
        Some(text.split(';').next().unwrap_or_default().trim().to_owned())
            .filter(|text| text.starts_with("application/vnd."))
    });
    let shape = if kind.manifests.is_some() { media::INDEX } else { media::MANIFEST };
    Ok(Document { media_type: media_type.unwrap_or_else(|| shape.to_owned()), digest, bytes })
}
