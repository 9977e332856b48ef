use std::fs;
use std::path::Path;

use super::{BuildError, LayerBuilder};
use crate::model::{
    Descriptor, IMAGE_NAME, ImageConfig, Index, Manifest, REF_NAME, RootFs, RunConfig, media,
};
use crate::{Compression, Digest, Platform, Reference};

/// Describes an image for this machine.
pub struct ImageBuilder {
    reference: Reference,
    platform: Platform,
    run: RunConfig,
    layers: Vec<(LayerBuilder, Compression)>,
}

impl ImageBuilder {
    /// An image without layers.
    pub fn new(reference: Reference) -> Self {
        Self { reference, platform: Platform::host(), run: RunConfig::default(), layers: Vec::new() }
    }

    /// Put a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: LayerBuilder, compression: Compression) -> Self {
        self.layers.push((layer, compression));
        self
    }

    /// Say that it is for another machine.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Set the command.
    #[must_use]
    pub fn cmd<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.run.cmd = words.into_iter().map(Into::into).collect();
        self
    }

    /// Set everything about how it runs.
    #[must_use]
    pub fn run_config(mut self, run: RunConfig) -> Self {
        self.run = run;
        self
    }

    /// Write an OCI image layout with just this image to `directory`, which is made if need be.
    pub fn write_layout(self, directory: &Path) -> Result<Digest, BuildError> {
        let digests = write_layout(directory, vec![self])?;
        Ok(digests[0])
    }

    fn write_blobs(self, directory: &Path) -> Result<Descriptor, BuildError> {
        let mut rootfs = RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() };
        let mut layers = Vec::new();
        for (layer, compression) in self.layers {
            let (blob, diff_id) = layer.finish(compression)?;
            rootfs.diff_ids.push(diff_id);
            layers.push(write_blob(directory, &format!("{}{}", media::LAYER, compression.suffix()), &blob)?);
        }
        let config = ImageConfig {
            platform: self.platform.clone(),
            config: self.run,
            rootfs,
            ..ImageConfig::default()
        };
        let config = write_blob(directory, media::CONFIG, &serde_json::to_vec(&config)?)?;
        let media_type = Some(media::MANIFEST.to_owned());
        let manifest = Manifest { schema_version: 2, media_type, config, layers };
        let mut descriptor = write_blob(directory, media::MANIFEST, &serde_json::to_vec(&manifest)?)?;
        descriptor.platform = Some(self.platform);
        descriptor.annotations.insert(IMAGE_NAME.to_owned(), self.reference.to_string());
        if let Some(tag) = self.reference.tag() {
            descriptor.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
        }
        Ok(descriptor)
    }
}

/// Write a layout with several images; gives the digests of their manifests.
pub fn write_layout(directory: &Path, images: Vec<ImageBuilder>) -> Result<Vec<Digest>, BuildError> {
    let blobs = directory.join("blobs").join("sha256");
    fs::create_dir_all(&blobs).map_err(|source| BuildError::Write { path: blobs, source })?;
    let manifests: Vec<Descriptor> =
        images.into_iter().map(|image| image.write_blobs(directory)).collect::<Result<_, _>>()?;
    let digests = manifests.iter().map(|descriptor| descriptor.digest).collect();
    let index = Index { manifests, ..Index::default() };
    write(&directory.join("index.json"), &serde_json::to_vec(&index)?)?;
    write(&directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(digests)
}

fn write_blob(directory: &Path, media_type: &str, bytes: &[u8]) -> Result<Descriptor, BuildError> {
    let digest = Digest::of(bytes);
    write(&directory.join("blobs").join("sha256").join(digest.hex()), bytes)?;
    Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    fs::write(path, bytes).map_err(|source| BuildError::Write { path: path.to_owned(), source })
}
