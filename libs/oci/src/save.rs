//! Images from the store into an archive: a tar with an OCI image layout in it, and with the `manifest.json` that docker wants.
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufReader, Read, Write};

use serde::Serialize;
use tar::{Builder, EntryType, Header};

use crate::digest::Hashed;
use crate::model::{Descriptor, IMAGE_NAME, Index, REF_NAME};
use crate::store::{Image, Store, StoreError};
use crate::{Digest, Reference};

/// Kind of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What `docker save` writes since version 25: an OCI image layout and `manifest.json`. All tools read it.
    #[default]
    Docker,
    /// Just the OCI image layout.
    Oci,
}

/// Why images cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// An image or part of it cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive cannot be written.
    #[error("writing the archive")]
    Write(#[source] io::Error),
}

/// One image in docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes images to `out`; the same images always give the same bytes.
pub fn save(
    store: &Store,
    references: &[Reference],
    format: Format,
    out: impl Write,
) -> Result<(), SaveError> {
    // Nothing of them may be deleted meanwhile.
    let _held = store.ingest()?;
    let images: Vec<Image> = references.iter().map(|name| store.get(name)).collect::<Result<_, _>>()?;
    let mut tar = Builder::new(out);
    for directory in ["blobs/", "blobs/sha256/"] {
        add(&mut tar, directory, EntryType::Directory, 0, io::empty())?;
    }
    let mut written = HashSet::new();
    for image in &images {
        let parts = image.manifest.layers.iter().chain([&image.manifest.config]);
        let parts = parts.map(|part| part.digest).chain([image.digest]);
        for digest in parts {
            if written.insert(digest) {
                add_blob(&mut tar, store, &digest)?;
            }
        }
    }
    add_document(&mut tar, "index.json", &index(&images))?;
    if format == Format::Docker {
        add_document(&mut tar, "manifest.json", &docker(&images))?;
    }
    add(&mut tar, "oci-layout", EntryType::Regular, LAYOUT.len() as u64, LAYOUT.as_bytes())?;
    tar.into_inner().and_then(|mut out| out.flush()).map_err(SaveError::Write)
}

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

fn index(images: &[Image]) -> Index {
    let manifests = images.iter().map(|image| {
        let mut descriptor = Descriptor::new(&image.media_type, image.digest, image.size);
        descriptor.platform = Some(image.config.platform.clone());
        descriptor.annotations.insert(IMAGE_NAME.to_owned(), image.reference.to_string());
        if let Some(tag) = image.reference.tag() {
            descriptor.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
        }
        descriptor
    });
    Index { manifests: manifests.collect(), ..Index::default() }
}

/// An image with several names is one with several tags.
fn docker(images: &[Image]) -> Vec<Saved> {
    let mut saved: BTreeMap<Digest, Saved> = BTreeMap::new();
    for image in images {
        let entry = saved.entry(image.digest).or_insert_with(|| Saved {
            config: blob_name(&image.manifest.config.digest),
            repo_tags: Vec::new(),
            layers: image.manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect(),
        });
        // Docker has no names with digests here.
        if image.reference.digest().is_none() {
            entry.repo_tags.push(image.reference.familiar());
        }
    }
    saved.into_values().collect()
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn add_blob(tar: &mut Builder<impl Write>, store: &Store, digest: &Digest) -> Result<(), SaveError> {
    let blob = store.open_blob(digest)?;
    let failed = |source| StoreError::Source { digest: digest.to_string(), source };
    let size = blob.metadata().map_err(failed)?.len();
    let mut blob = Hashed::new(BufReader::with_capacity(256 * 1024, blob));
    add(tar, &blob_name(digest), EntryType::Regular, size, &mut blob)?;
    let found = blob.digest();
    if found != *digest {
        let length = blob.length;
        return Err(StoreError::Content { expected: *digest, found, size, length }.into());
    }
    Ok(())
}

fn add_document(
    tar: &mut Builder<impl Write>,
    name: &str,
    document: &impl Serialize,
) -> Result<(), SaveError> {
    let bytes = serde_json::to_vec(document)
        .map_err(|source| StoreError::Json { object: name.to_owned(), source })?;
    add(tar, name, EntryType::Regular, bytes.len() as u64, &bytes[..])
}

fn add(
    tar: &mut Builder<impl Write>,
    name: &str,
    kind: EntryType,
    size: u64,
    data: impl Read,
) -> Result<(), SaveError> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_size(size);
    header.set_mtime(0);
    tar.append_data(&mut header, name, data).map_err(SaveError::Write)
}
