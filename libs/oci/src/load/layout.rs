//! OCI image layouts (`image-layout.md`).
use std::collections::BTreeMap;

use super::archive::{blob_name, parse};
use super::docker::Saved;
use super::{LoadError, Loader, Parts};
use crate::model::{Descriptor, IMAGE_NAME, ImageConfig, Index, Manifest, REF_NAME};
use crate::select::{self, Candidate};
use crate::unfit::check_layers;
use crate::{Digest, Reference, Unfit};

/// Indexes within indexes that are followed.
const MAX_DEPTH: u32 = 4;

/// How the archive calls an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Full(Reference),
    Tag(String),
    None,
}

impl Name {
    fn shown(&self) -> String {
        match self {
            Self::Full(name) => name.familiar(),
            Self::Tag(tag) => format!("the image {tag}"),
            Self::None => "the image".to_owned(),
        }
    }
}

pub(super) fn load(loader: &Loader<'_>) -> Result<Parts, LoadError> {
    let mut index: Index = loader.archive.document("index.json")?;
    if loader.options.only.is_some() {
        // In a cache others may be damaged, or half there.
        let full = |descriptor: &Descriptor| match name_of(descriptor) {
            Ok(Name::Full(name)) => Some(name),
            _ => None,
        };
        let names: Vec<Reference> = index.manifests.iter().filter_map(full).collect();
        index.manifests.retain(|descriptor| full(descriptor).is_some_and(|name| loader.wants(&name)));
        loader.found(!index.manifests.is_empty(), names.into_iter())?;
    }
    // The same name for several platforms is one image.
    let mut groups: BTreeMap<Name, Vec<Candidate>> = BTreeMap::new();
    for descriptor in index.manifests {
        let name = name_of(&descriptor)?;
        candidates(loader, descriptor, 0, groups.entry(name).or_default())?;
    }
    let (mut parts, mut fitting) = (Parts::default(), Vec::new());
    for (name, candidates) in groups {
        if let Some(image) = parts.fitting(choose(loader, &name.shown(), candidates))? {
            fitting.push((name, image));
        }
    }
    loader.check_count(&fitting, &parts)?;
    for (name, image) in fitting {
        let names = match (&loader.options.name, name) {
            (Some(forced), _) => vec![forced.clone()],
            (None, Name::Full(name)) => vec![name],
            (None, name) => saved_names(loader, &image, &name)?,
        };
        parts.add(names, &import(loader, &image)?);
    }
    Ok(parts)
}

fn name_of(descriptor: &Descriptor) -> Result<Name, LoadError> {
    if let Some(name) = descriptor.annotations.get(IMAGE_NAME) {
        return Ok(Name::Full(name.parse()?));
    }
    Ok(match descriptor.annotations.get(REF_NAME) {
        Some(name) if name.contains(['/', ':']) => Name::Full(name.parse()?),
        Some(tag) => Name::Tag(tag.clone()),
        None => Name::None,
    })
}

/// All images that `descriptor` leads to.
fn candidates(
    loader: &Loader<'_>,
    descriptor: Descriptor,
    depth: u32,
    found: &mut Vec<Candidate>,
) -> Result<(), LoadError> {
    if depth > MAX_DEPTH {
        return Err(Unfit::Nesting.into());
    }
    if descriptor.is_index() {
        let name = descriptor.digest.to_string();
        let index: Index = parse(&name, &loader.archive.blob(&descriptor.digest)?)?;
        for inner in index.manifests {
            candidates(loader, inner, depth + 1, found)?;
        }
        return Ok(());
    }
    let platform = match &descriptor.platform {
        Some(platform) => platform.clone(),
        None => config_of(loader, &manifest_of(loader, &descriptor.digest)?)?.platform,
    };
    found.push(Candidate { descriptor, platform });
    Ok(())
}

/// The image for the machine that is wanted.
fn choose(loader: &Loader<'_>, name: &str, candidates: Vec<Candidate>) -> Result<Descriptor, LoadError> {
    let wanted = &loader.options.platform;
    let chosen = select::choose(wanted, candidates).map_err(|found| Unfit::Platform {
        name: name.to_owned(),
        wanted: Box::new(wanted.clone()),
        found,
    })?;
    // An index may say anything; the configuration decides.
    let config = config_of(loader, &manifest_of(loader, &chosen.digest)?)?;
    loader.check_platform(name, &config.platform)?;
    Ok(chosen)
}

/// The names that `docker save` gives in its own list, beside the layout.
fn saved_names(loader: &Loader<'_>, chosen: &Descriptor, name: &Name) -> Result<Vec<Reference>, LoadError> {
    let tag = if let Name::Tag(tag) = name { Some(tag.clone()) } else { None };
    if !loader.archive.contains("manifest.json") {
        return Err(LoadError::NoName { tag });
    }
    let saved: Vec<Saved> = loader.archive.document("manifest.json")?;
    let config = manifest_of(loader, &chosen.digest)?.config.digest.hex();
    let tags = saved.iter().filter(|image| image.config.contains(&config)).flat_map(|image| &image.repo_tags);
    let names: Vec<Reference> = tags.map(|tag| tag.parse()).collect::<Result<_, _>>()?;
    if names.is_empty() { Err(LoadError::NoName { tag }) } else { Ok(names) }
}

/// Bring the blobs of an image into the store.
fn import(loader: &Loader<'_>, descriptor: &Descriptor) -> Result<Descriptor, LoadError> {
    let bytes = loader.archive.blob(&descriptor.digest)?;
    let manifest: Manifest = parse(&descriptor.digest.to_string(), &bytes)?;
    let config = config_of(loader, &manifest)?;
    check_layers(&manifest, &config)?;
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        let (source, _) = loader.archive.member(&blob_name(&blob.digest))?;
        loader.store.add(source, &blob.digest, blob.size, loader.held)?;
    }
    loader.store.add(&bytes[..], &descriptor.digest, bytes.len() as u64, loader.held)?;
    let mut stored = Descriptor::new(&descriptor.media_type, descriptor.digest, bytes.len() as u64);
    stored.platform = Some(config.platform);
    Ok(stored)
}

fn manifest_of(loader: &Loader<'_>, digest: &Digest) -> Result<Manifest, LoadError> {
    parse(&digest.to_string(), &loader.archive.blob(digest)?)
}

fn config_of(loader: &Loader<'_>, manifest: &Manifest) -> Result<ImageConfig, LoadError> {
    parse(&manifest.config.digest.to_string(), &loader.archive.blob(&manifest.config.digest)?)
}
