//! Images on this machine: an OCI image layout (`image-layout.md`) that several processes share.
//!
//! Blobs come in under a temporary name and get their own when digest and size are right. Whoever adds blobs holds a
//! shared lock until the index names them; whoever removes blobs holds it alone.
mod blobs;
mod error;
mod lock;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use error::StoreError;

use crate::layer::LayerReader;
use crate::model::{Descriptor, IMAGE_NAME, ImageConfig, Index, Manifest};
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
    /// Bytes of its configuration and layers as stored.
    pub size: u64,
    /// For what machine it is.
    pub platform: Platform,
}

/// An image in the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub reference: Reference,
    /// Digest of its manifest.
    pub digest: Digest,
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
            store.replace(&layout, LAYOUT.as_bytes())?;
        }
        Ok(store)
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All images by name.
    pub fn list(&self) -> Result<Vec<Summary>, StoreError> {
        let mut list = Vec::new();
        for (reference, descriptor) in self.names()? {
            let manifest: Manifest = self.document(&descriptor.digest)?;
            let size = manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
            let platform = descriptor.platform.unwrap_or_default();
            list.push(Summary { reference, digest: descriptor.digest, size, platform });
        }
        Ok(list)
    }

    /// The image called `reference`, by its tag or, with `@sha256:…`, by the digest of its manifest.
    pub fn get(&self, reference: &Reference) -> Result<Image, StoreError> {
        let names = self.names()?;
        let found = names.get(reference).or_else(|| {
            let digest = reference.digest()?;
            let same_place = |name: &Reference| {
                name.repository() == reference.repository() && name.registry() == reference.registry()
            };
            names
                .iter()
                .find(|(name, found)| found.digest == digest && same_place(name))
                .map(|(_, found)| found)
        });
        let Some(descriptor) = found else {
            let known = names.keys().map(Reference::familiar).collect();
            return Err(StoreError::Unknown { reference: Box::new(reference.clone()), known });
        };
        let manifest: Manifest = self.document(&descriptor.digest)?;
        let config = self.document(&manifest.config.digest)?;
        Ok(Image { reference: reference.clone(), digest: descriptor.digest, manifest, config })
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

    /// Forget the name `reference`; blobs that no other image needs are deleted.
    pub fn remove(&self, reference: &Reference) -> Result<(), StoreError> {
        let _alone = Lock::exclusive(&self.ingest_lock())?;
        self.update(|names| {
            if names.remove(reference).is_some() {
                return Ok(());
            }
            let known = names.keys().map(Reference::familiar).collect();
            Err(StoreError::Unknown { reference: Box::new(reference.clone()), known })
        })?;
        self.sweep()
    }

    /// Start adding blobs. Keep the result until [`Self::name`] has been called.
    pub fn ingest(&self) -> Result<Ingest, StoreError> {
        Ok(Ingest { _lock: Lock::shared(&self.ingest_lock())? })
    }

    /// Give names to images whose blobs are all there, all at once; names in use move to the new image.
    pub fn name(&self, images: Vec<(Reference, Descriptor)>, _held: &Ingest) -> Result<(), StoreError> {
        self.update(|names| {
            names.extend(images);
            Ok(())
        })
    }

    /// Delete what no image needs, if nobody is adding blobs right now.
    pub fn collect_garbage(&self) -> Result<(), StoreError> {
        match Lock::try_exclusive(&self.ingest_lock())? {
            Some(_alone) => self.sweep(),
            None => Ok(()),
        }
    }

    fn names(&self) -> Result<BTreeMap<Reference, Descriptor>, StoreError> {
        let path = self.root.join(INDEX);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(StoreError::io("reading", &path)(error)),
        };
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|source| StoreError::Json { object: INDEX.to_owned(), source })?;
        let named = index.manifests.into_iter().filter_map(|descriptor| {
            let reference = descriptor.annotations.get(IMAGE_NAME)?.parse().ok()?;
            Some((reference, descriptor))
        });
        Ok(named.collect())
    }

    /// Change the names under a lock of their own: read, change, replace the file.
    fn update(
        &self,
        change: impl FnOnce(&mut BTreeMap<Reference, Descriptor>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _alone = Lock::exclusive(&self.root.join("index.lock"))?;
        let mut names = self.names()?;
        change(&mut names)?;
        let manifests = names
            .into_iter()
            .map(|(reference, mut descriptor)| {
                descriptor.annotations.insert(IMAGE_NAME.to_owned(), reference.to_string());
                descriptor
            })
            .collect();
        let index = Index { manifests, ..Index::default() };
        let bytes = serde_json::to_vec_pretty(&index)
            .map_err(|source| StoreError::Json { object: INDEX.to_owned(), source })?;
        self.replace(&self.root.join(INDEX), &bytes)
    }

    /// Delete blobs without an image and what dead processes left behind. The caller holds the ingest lock alone.
    fn sweep(&self) -> Result<(), StoreError> {
        let mut needed = HashSet::new();
        for descriptor in self.names()?.into_values() {
            needed.insert(descriptor.digest.hex());
            let manifest = match self.document::<Manifest>(&descriptor.digest) {
                Ok(manifest) => manifest,
                // A moment's trouble with a disk is no reason to take an image's layers for unused.
                Err(error @ StoreError::Io { .. }) => return Err(error),
                // A manifest that is damaged must not keep everything else from being cleaned up.
                Err(_) => continue,
            };
            needed.insert(manifest.config.digest.hex());
            needed.extend(manifest.layers.iter().map(|layer| layer.digest.hex()));
        }
        delete_except(&self.blob_directory(), &needed)?;
        delete_except(&self.temporary_directory(), &HashSet::new())
    }

    fn document<T: DeserializeOwned>(&self, digest: &Digest) -> Result<T, StoreError> {
        let bytes = self.read_blob(digest)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| StoreError::Json { object: digest.to_string(), source })
    }

    /// Replace a file so that others see the old or the new one, whatever happens.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let directory = self.temporary_directory();
        let mut file = tempfile::NamedTempFile::new_in(&directory)
            .map_err(StoreError::io("creating a file in", &directory))?;
        file.write_all(bytes).map_err(StoreError::io("writing", path))?;
        file.as_file().sync_all().map_err(StoreError::io("writing", path))?;
        file.persist(path).map_err(|error| StoreError::io("replacing", path)(error.error))?;
        Ok(())
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

fn delete_except(directory: &Path, needed: &HashSet<String>) -> Result<(), StoreError> {
    for entry in fs::read_dir(directory).map_err(StoreError::io("listing", directory))? {
        let path = entry.map_err(StoreError::io("listing", directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !needed.contains(&name) {
            fs::remove_file(&path).map_err(StoreError::io("deleting", &path))?;
        }
    }
    Ok(())
}
