//! An image from a registry into the store.
mod layers;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::blob::BlobReader;
use super::manifest::Document;
use super::source::Source;
use super::{PullError, Registry, RegistryError};
use crate::layer::LayerReader;
use crate::model::{Descriptor, ImageConfig, Index, Manifest, media};
use crate::select::{Candidate, choose};
use crate::store::{Ingest, Store};
use crate::unfit::check_layers;
use crate::{Digest, Platform, Reference, Unfit};
use layers::plain;

/// Indexes within indexes that are followed.
const MAX_DEPTH: u32 = 4;

/// What to pull.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The image.
    pub reference: &'a Reference,
    /// The machine it must run on.
    pub platform: Platform,
}

/// What came of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// Digest of what the registry has under the name: the manifest, or the index it was chosen from.
    pub named: Digest,
    /// Whether the name led to this image before.
    pub unchanged: bool,
}

/// Is told how a pull goes on; from several threads.
pub trait Observer: Sync {
    /// These layers belong to the image.
    fn layers(&self, _layers: &[Descriptor]) {}
    /// A layer is here already.
    fn present(&self, _layer: &Descriptor) {}
    /// So many more bytes of a layer have come.
    fn bytes(&self, _layer: &Descriptor, _count: u64) {}
    /// A layer has been stored, and used.
    fn done(&self, _layer: &Descriptor) {}
    /// Something went wrong and will be tried again after a pause.
    fn retry(&self, _error: &RegistryError, _pause: Duration) {}
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Observer for Quiet {}

/// Makes something of layers while they come.
pub trait LayerSink: Sync {
    /// Uses a layer's content, or does not read it. What it reads is whole and right only if it comes to the end.
    fn layer(
        &self,
        diff_id: &Digest,
        tar: LayerReader,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
    /// Whether it has a use for this layer of an image.
    fn wants(&self, image: &ImageConfig, diff_id: &Digest) -> bool;
}

/// Pulls an image and gives it its name. Blobs that are here are not fetched again. After an error, what came before it
/// stays until the next collection of garbage.
pub fn pull(
    store: &Store,
    registry: &Registry,
    request: &Request<'_>,
    observer: &dyn Observer,
    sink: Option<&dyn LayerSink>,
) -> Result<Pulled, PullError> {
    let held = store.ingest()?;
    let stopped = CancellationToken::new();
    let source = Source::new(registry, request.reference, &stopped, observer);
    let pull = Pull { store, held: &held, request, observer, sink, source: &source, stopped: &stopped };
    let (named, image) = pull.image()?;
    let manifest: Manifest = pull.parse(&image.digest, &image.bytes)?;
    let (config_bytes, config) = pull.config(&manifest.config)?;
    pull.check(&manifest, &config)?;
    observer.layers(&manifest.layers);
    pull.layers(&manifest, &config)?;
    store.add(&config_bytes[..], &manifest.config.digest, manifest.config.size, &held)?;
    store.add(&image.bytes[..], &image.digest, image.bytes.len() as u64, &held)?;
    let mut descriptor = Descriptor::new(&image.media_type, image.digest, image.bytes.len() as u64);
    descriptor.platform = Some(config.platform);
    let before = store.get(request.reference).ok().map(|image| image.digest);
    store.name(vec![(request.reference.clone(), descriptor)], &held)?;
    Ok(Pulled { digest: image.digest, named, unchanged: before == Some(image.digest) })
}

struct Pull<'a> {
    store: &'a Store,
    held: &'a Ingest,
    request: &'a Request<'a>,
    observer: &'a dyn Observer,
    sink: Option<&'a dyn LayerSink>,
    source: &'a Source<'a>,
    stopped: &'a CancellationToken,
}

impl Pull<'_> {
    /// What the name leads to, and the manifest of the image for the machine.
    fn image(&self) -> Result<(Digest, Document), PullError> {
        let reference = self.request.reference;
        let digest = reference.digest().map(|digest| digest.to_string());
        let name = digest.as_deref().or(reference.tag()).unwrap_or("latest");
        let mut document = self.source.manifest(name)?;
        let named = document.digest;
        for _ in 0..=MAX_DEPTH {
            match document.media_type.as_str() {
                media::MANIFEST | media::DOCKER_MANIFEST => return Ok((named, document)),
                media::INDEX | media::DOCKER_LIST => {
                    let index: Index = self.parse(&document.digest, &document.bytes)?;
                    document = self.source.manifest(&self.choose(index)?.digest.to_string())?;
                }
                other => {
                    let name = reference.familiar();
                    return Err(PullError::MediaType { name, media_type: other.to_owned() });
                }
            }
        }
        Err(Unfit::Nesting.into())
    }

    fn choose(&self, index: Index) -> Result<Descriptor, PullError> {
        // One without a platform may be anything; its configuration tells.
        let only = index.manifests.len() == 1;
        let candidates = index.manifests.into_iter().filter_map(|descriptor| {
            let unknown = || only.then(|| self.request.platform.clone());
            let platform = descriptor.platform.clone().or_else(unknown)?;
            Some(Candidate { descriptor, platform })
        });
        choose(&self.request.platform, candidates.collect()).map_err(|found| self.wrong_platform(found))
    }

    fn wrong_platform(&self, found: Vec<String>) -> PullError {
        let name = self.request.reference.familiar();
        Unfit::Platform { name, wanted: Box::new(self.request.platform.clone()), found }.into()
    }

    fn config(&self, descriptor: &Descriptor) -> Result<(Vec<u8>, ImageConfig), PullError> {
        if matches!(descriptor.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
            let bytes = self.small_blob(descriptor)?;
            let config = self.parse(&descriptor.digest, &bytes)?;
            return Ok((bytes, config));
        }
        let name = self.request.reference.familiar();
        Err(PullError::MediaType { name, media_type: descriptor.media_type.clone() })
    }

    fn small_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        if let Ok(bytes) = self.store.read_blob(&descriptor.digest) {
            return Ok(bytes);
        }
        self.store
            .add(BlobReader::new(self.source, descriptor, 0), &descriptor.digest, descriptor.size, self.held)
            .map_err(plain)?;
        Ok(self.store.read_blob(&descriptor.digest)?)
    }

    /// Before anything large is fetched.
    fn check(&self, manifest: &Manifest, config: &ImageConfig) -> Result<(), PullError> {
        if !self.request.platform.accepts(&config.platform) {
            return Err(self.wrong_platform(vec![config.platform.to_string()]));
        }
        Ok(check_layers(manifest, config)?)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, digest: &Digest, bytes: &[u8]) -> Result<T, PullError> {
        let (host, object) = (self.source.host().to_owned(), digest.to_string());
        serde_json::from_slice(bytes).map_err(|source| RegistryError::Json { host, object, source }.into())
    }
}
