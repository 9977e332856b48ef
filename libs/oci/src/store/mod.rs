//! Images on this machine: an OCI image layout (`image-layout.md`) that several processes share.
//!
//! Blobs come in under a temporary name and get their own when digest and size are right. Whoever adds blobs holds a
//! shared lock until the index names them, as does whoever must not lose any; whoever removes blobs holds it alone.
mod blobs;
mod error;
mod garbage;
mod lock;
mod names;
mod partial;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use error::StoreError;
pub use garbage::Freed;
pub(crate) use partial::Partial;

use crate::layer::LayerReader;
use crate::model::{Descriptor, ImageConfig, Manifest};
use crate::{Compression, Digest, Platform, Reference};
use lock::Lock;

const INDEX: &str = "index.json";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A store in a directory.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What the list of images shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub reference: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its configuration, which people know as the image's id.
    pub id: Digest,
    /// When it was made, if it says so (RFC 3339).
    pub created: Option<String>,
    /// Bytes of its configuration and layers as stored.
    pub size: u64,
    /// For what machine it is.
    pub platform: Platform,
}

/// An image that cannot be used.
#[derive(Debug)]
pub struct Damaged {
    /// Its name.
    pub reference: Reference,
    /// What is wrong with it.
    pub error: StoreError,
}

/// An image in the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub reference: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its manifest.
    pub size: u64,
    /// Media type of its manifest.
    pub media_type: String,
    /// Its parts.
    pub manifest: Manifest,
    /// What its containers run.
    pub config: ImageConfig,
}

/// Held while blobs are added that no name leads to yet.
#[derive(Debug)]
pub struct Ingest {
    _lock: Lock,
}

impl Store {
    /// Open the store in `root`; it is made if nothing is there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self { root: root.into() };
        for directory in [store.blob_directory(), store.temporary_directory()] {
            fs::create_dir_all(&directory).map_err(StoreError::io("creating", &directory))?;
        }
        let layout = store.root.join("oci-layout");
        if !layout.exists() {
            let _held = store.ingest()?;
            store.replace(&layout, LAYOUT.as_bytes())?;
        }
        Ok(store)
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All images by name. One that is damaged is an error; see [`Self::list_whole`].
    pub fn list(&self) -> Result<Vec<Summary>, StoreError> {
        self.names()?.into_iter().map(|(name, descriptor)| self.summary(name, &descriptor)).collect()
    }

    /// The images that are whole, by name, and what is wrong with the others.
    pub fn list_whole(&self) -> Result<(Vec<Summary>, Vec<Damaged>), StoreError> {
        let (mut whole, mut damaged) = (Vec::new(), Vec::new());
        for (reference, descriptor) in self.names()? {
            match self.summary(reference.clone(), &descriptor) {
                Ok(summary) => whole.push(summary),
                Err(error) => damaged.push(Damaged { reference, error }),
            }
        }
        Ok((whole, damaged))
    }

    fn summary(&self, reference: Reference, descriptor: &Descriptor) -> Result<Summary, StoreError> {
        let manifest: Manifest = self.document(&descriptor.digest)?;
        let size = manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        let id = manifest.config.digest;
        let config: ImageConfig = self.document(&id)?;
        let (digest, created, platform) = (descriptor.digest, config.created, config.platform);
        Ok(Summary { reference, digest, id, created, size, platform })
    }

    /// The image called `reference`, by its tag or, with `@sha256:…`, by the digest of its manifest.
    pub fn get(&self, reference: &Reference) -> Result<Image, StoreError> {
        let names = self.names()?;
        let descriptor = names::named(&names, reference).ok_or_else(|| names::unknown(&names, reference))?;
        let manifest: Manifest = self.document(&descriptor.digest)?;
        let config = self.document(&manifest.config.digest)?;
        Ok(Image {
            reference: reference.clone(),
            digest: descriptor.digest,
            size: descriptor.size,
            media_type: descriptor.media_type.clone(),
            manifest,
            config,
        })
    }

    /// The content of layer `at` of `image`, counted from the lowest.
    pub fn open_layer(&self, image: &Image, at: usize) -> Result<LayerReader, StoreError> {
        let (Some(layer), Some(diff_id)) =
            (image.manifest.layers.get(at), image.config.rootfs.diff_ids.get(at))
        else {
            let layers = image.manifest.layers.len();
            return Err(StoreError::Layers {
                digest: image.digest,
                layers,
                ids: image.config.rootfs.diff_ids.len(),
            });
        };
        let compression = Compression::of_layer(&layer.media_type).ok_or_else(|| StoreError::MediaType {
            digest: layer.digest,
            media_type: layer.media_type.clone(),
        })?;
        let blob = self.open_blob(&layer.digest)?;
        Ok(LayerReader::new(blob, compression, layer.digest, *diff_id)?)
    }

    /// Start adding blobs. Keep the result until [`Self::name`] has been called: while it is held no blob is deleted.
    pub fn ingest(&self) -> Result<Ingest, StoreError> {
        Ok(Ingest { _lock: Lock::shared(&self.ingest_lock())? })
    }

    fn document<T: DeserializeOwned>(&self, digest: &Digest) -> Result<T, StoreError> {
        let bytes = self.read_blob(digest)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| StoreError::Json { object: digest.to_string(), source })
    }

    /// Replace a file so that others see the old or the new one, whatever happens.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.temporary()?;
        file.as_file().write_all(bytes).map_err(StoreError::io("writing", path))?;
        file.as_file().sync_all().map_err(StoreError::io("writing", path))?;
        file.persist(path).map_err(|error| StoreError::io("replacing", path)(error.error))?;
        blobs::sync_directory(&self.root)
    }

    fn ingest_lock(&self) -> PathBuf {
        self.root.join("ingest.lock")
    }

    fn blob_directory(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    fn temporary_directory(&self) -> PathBuf {
        self.root.join("tmp")
    }
}
