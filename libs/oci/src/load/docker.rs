//! What `docker save` wrote before it wrote layouts (Docker image specification v1.2, "Combined Image JSON + Filesystem
//! Changeset Format").
use std::io::Read;

use serde::{Deserialize, Deserializer};

use super::archive::{parse, read_up_to};
use super::{LoadError, Loader, Parts};
use crate::model::{Descriptor, ImageConfig, Manifest, media};
use crate::{Compression, Digest, Reference, Unfit};

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    pub(super) config: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub(super) repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    layers: Vec<String>,
}

pub(super) fn load(loader: &Loader<'_>) -> Result<Parts, LoadError> {
    let images: Vec<Saved> = loader.archive.document("manifest.json")?;
    let tags = || images.iter().flat_map(|image| &image.repo_tags).filter_map(|tag| tag.parse().ok());
    loader.found(tags().any(|name| loader.wants(&name)), tags())?;
    let (mut parts, mut fitting) = (Parts::default(), Vec::new());
    for image in images {
        let names: Vec<Reference> = match &loader.options.name {
            Some(name) => vec![name.clone()],
            None => image.repo_tags.iter().map(|tag| tag.parse()).collect::<Result<Vec<_>, _>>()?,
        };
        let names: Vec<Reference> = names.into_iter().filter(|name| loader.wants(name)).collect();
        if names.is_empty() && loader.options.only.is_some() {
            continue;
        }
        let Some(first) = names.first() else { return Err(LoadError::NoName { tag: None }) };
        let shown = image.repo_tags.first().cloned().unwrap_or_else(|| first.familiar());
        let config = config(loader, &image).and_then(|(bytes, config)| {
            loader.check_platform(&shown, &config.platform)?;
            Ok((bytes, config))
        });
        if let Some((bytes, config)) = parts.fitting(config)? {
            fitting.push((names, image, bytes, config));
        }
    }
    loader.check_count(&fitting, &parts)?;
    for (names, image, bytes, config) in fitting {
        parts.add(names, &import(loader, &image, &bytes, config)?);
    }
    Ok(parts)
}

fn config(loader: &Loader<'_>, image: &Saved) -> Result<(Vec<u8>, ImageConfig), LoadError> {
    let bytes = loader.archive.read(&image.config)?;
    let config = parse(&image.config, &bytes)?;
    Ok((bytes, config))
}

fn import(
    loader: &Loader<'_>,
    image: &Saved,
    config_bytes: &[u8],
    config: ImageConfig,
) -> Result<Descriptor, LoadError> {
    let (layers, ids) = (image.layers.len(), config.rootfs.diff_ids.len());
    if layers != ids {
        return Err(Unfit::Layers { layers, ids }.into());
    }
    let layers = image
        .layers
        .iter()
        .zip(&config.rootfs.diff_ids)
        .map(|(member, diff_id)| import_layer(loader, member, diff_id))
        .collect::<Result<_, _>>()?;
    let digest = Digest::of(config_bytes);
    loader.store.add(config_bytes, &digest, config_bytes.len() as u64, loader.held)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        config: Descriptor::new(media::CONFIG, digest, config_bytes.len() as u64),
        layers,
    };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|source| LoadError::Json { member: "manifest.json".to_owned(), source })?;
    let digest = Digest::of(&bytes);
    loader.store.add(&bytes[..], &digest, bytes.len() as u64, loader.held)?;
    let mut stored = Descriptor::new(media::MANIFEST, digest, bytes.len() as u64);
    stored.platform = Some(config.platform);
    Ok(stored)
}

/// Layers are plain tars whose digest is their content's; some tools pack them all the same.
fn import_layer(loader: &Loader<'_>, member: &str, diff_id: &Digest) -> Result<Descriptor, LoadError> {
    let (mut source, size) = loader.archive.member(member)?;
    let mut start = [0; 4];
    let length = read_up_to(&mut source, &mut start)
        .map_err(|source| LoadError::Read { path: member.into(), source })?;
    let whole = start[..length].chain(source);
    let compression = Compression::detect(&start[..length]);
    let media_type = format!("{}{}", media::LAYER, compression.suffix());
    if compression == Compression::None {
        loader.store.add(whole, diff_id, size, loader.held)?;
        return Ok(Descriptor::new(&media_type, *diff_id, size));
    }
    let (digest, size) = loader.store.add_unnamed(whole, member, loader.held)?;
    Ok(Descriptor::new(&media_type, digest, size))
}

fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
