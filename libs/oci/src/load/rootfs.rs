//! An image from a root file system.
use std::io::{self, Read};

use lcow_disk::tar::Reader;

use super::LoadError;
use super::archive::read_up_to;
use crate::digest::Hashed;
use crate::model::{Descriptor, History, ImageConfig, Manifest, RootFs, RunConfig, media};
use crate::store::Store;
use crate::{Compression, Digest, Platform, Reference};

/// What an image made of a root file system says about itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What its containers run.
    pub run: RunConfig,
    /// When it was made (RFC 3339).
    pub created: Option<String>,
    /// Where it comes from, for its history.
    pub origin: String,
    /// A remark.
    pub comment: Option<String>,
}

/// Makes an image of one layer out of a tar, packed or not, and gives it a name. Gives the digest of its manifest.
pub fn import(
    store: &Store,
    mut tar: impl Read,
    name: &Reference,
    about: About,
) -> Result<Digest, LoadError> {
    let held = store.ingest()?;
    let mut start = [0; 4];
    let fault = |source| LoadError::Read { path: about.origin.clone().into(), source };
    let length = read_up_to(&mut tar, &mut start).map_err(fault)?;
    let compression = Compression::detect(&start[..length]);
    let (digest, size) = store.add_unnamed(start[..length].chain(tar), &about.origin, &held)?;
    let unpacked = compression.reader(store.open_blob(&digest)?).map_err(fault)?;
    let diff_id =
        check(unpacked).map_err(|source| LoadError::Tar { path: about.origin.clone().into(), source })?;
    let layer = Descriptor::new(&format!("{}{}", media::LAYER, compression.suffix()), digest, size);
    let history = History {
        created: about.created.clone(),
        created_by: Some(format!("Imported from {}", about.origin)),
        comment: about.comment,
        empty_layer: false,
    };
    let platform = Platform::host();
    let config = ImageConfig {
        platform: platform.clone(),
        config: about.run,
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
        created: about.created,
        author: None,
        history: vec![history],
    };
    let add = |document: Result<Vec<u8>, serde_json::Error>, media_type| -> Result<Descriptor, LoadError> {
        let bytes =
            document.map_err(|source| LoadError::Json { member: "the new image".to_owned(), source })?;
        let digest = Digest::of(&bytes);
        store.add(&bytes[..], &digest, bytes.len() as u64, &held)?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    };
    let config = add(serde_json::to_vec(&config), media::CONFIG)?;
    let media_type = Some(media::MANIFEST.to_owned());
    let manifest = Manifest { schema_version: 2, media_type, config, layers: vec![layer] };
    let mut image = add(serde_json::to_vec(&manifest), media::MANIFEST)?;
    image.platform = Some(platform);
    let digest = image.digest;
    store.name(vec![(name.clone(), image)], &held)?;
    Ok(digest)
}

/// Whether it is a tar at all, and the digest of its content.
fn check(tar: impl Read) -> Result<Digest, lcow_disk::tar::TarError> {
    let mut hashed = Hashed::new(io::BufReader::with_capacity(256 * 1024, tar));
    let mut reader = Reader::new(&mut hashed);
    while reader.next_entry()?.is_some() {}
    reader.drain()?;
    Ok(hashed.digest())
}
