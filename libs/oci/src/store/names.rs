//! Names of images: the index.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::lock::Lock;
use super::{INDEX, Ingest, Store, StoreError};
use crate::model::{Descriptor, IMAGE_NAME, Index};
use crate::{Digest, Reference};

/// Digits of an id that people have to type at least.
const SHORTEST_ID: usize = 4;

impl Store {
    /// Give names to images whose blobs are all there, all at once; names in use move to the new image.
    pub fn name(&self, images: Vec<(Reference, Descriptor)>, _held: &Ingest) -> Result<(), StoreError> {
        self.update(|names| {
            names.extend(images);
            Ok(())
        })
    }

    /// Digest of the manifest that a name leads to.
    pub fn digest(&self, reference: &Reference) -> Result<Digest, StoreError> {
        let names = self.names()?;
        named(&names, reference).map(|found| found.digest).ok_or_else(|| unknown(&names, reference))
    }

    /// All names, also those of images that are damaged.
    pub fn references(&self) -> Result<Vec<Reference>, StoreError> {
        Ok(self.names()?.into_keys().collect())
    }

    /// All names that lead to a manifest.
    pub fn names_of(&self, digest: &Digest) -> Result<Vec<Reference>, StoreError> {
        let names = self.names()?.into_iter();
        Ok(names.filter(|(_, found)| found.digest == *digest).map(|(name, _)| name).collect())
    }

    /// Give the image called `from` one more name.
    pub fn tag(&self, from: &Reference, to: &Reference) -> Result<(), StoreError> {
        let _held = self.ingest()?;
        self.update(|names| {
            let descriptor = named(names, from).cloned().ok_or_else(|| unknown(names, from))?;
            names.insert(to.clone(), descriptor);
            Ok(())
        })
    }

    /// Take a name away. Gives the digest of the manifest it led to. Blobs go with [`Self::collect_garbage`].
    pub fn untag(&self, reference: &Reference) -> Result<Digest, StoreError> {
        let _held = self.ingest()?;
        let mut digest = None;
        self.update(|names| {
            let removed = names.remove(reference).ok_or_else(|| unknown(names, reference))?;
            digest = Some(removed.digest);
            Ok(())
        })?;
        digest.ok_or_else(|| unknown(&BTreeMap::new(), reference))
    }

    /// Forget the name `reference`; blobs that no other image needs are deleted, if nobody is adding blobs right now.
    pub fn remove(&self, reference: &Reference) -> Result<(), StoreError> {
        self.untag(reference)?;
        self.collect_garbage().map(drop)
    }

    /// What people mean by `text`: a name, or the start of an image's id or of its manifest's digest.
    pub fn find(&self, text: &str) -> Result<Reference, StoreError> {
        let names = self.names()?;
        let parsed = text.parse::<Reference>();
        if let Ok(reference) = &parsed
            && named(&names, reference).is_some()
        {
            return Ok(reference.clone());
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() >= SHORTEST_ID && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let digits = digits.to_ascii_lowercase();
            let meant = |digest: &Digest| digest.hex().starts_with(&digits);
            let found: Vec<_> =
                self.list_whole()?.0.into_iter().filter(|i| meant(&i.id) || meant(&i.digest)).collect();
            let images: BTreeSet<Digest> = found.iter().map(|image| image.id).collect();
            if images.len() > 1 {
                return Err(StoreError::Ambiguous { text: text.to_owned() });
            }
            if let Some(image) = found.into_iter().next() {
                return Ok(image.reference);
            }
        }
        Err(unknown(&names, &parsed?))
    }

    pub(super) fn names(&self) -> Result<BTreeMap<Reference, Descriptor>, StoreError> {
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

    /// Change the names under a lock of their own: read, change, replace the file. The caller holds the ingest lock, or the
    /// new file could be taken for one that somebody has left behind.
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
}

/// The image called `reference`, by its tag or, with `@sha256:…`, by the digest of its manifest.
pub(super) fn named<'a>(
    names: &'a BTreeMap<Reference, Descriptor>,
    reference: &Reference,
) -> Option<&'a Descriptor> {
    names.get(reference).or_else(|| {
        let digest = reference.digest()?;
        let same_place = |name: &Reference| {
            name.repository() == reference.repository() && name.registry() == reference.registry()
        };
        let mut same = names.iter().filter(|(name, found)| found.digest == digest && same_place(name));
        same.next().map(|(_, found)| found)
    })
}

pub(super) fn unknown(names: &BTreeMap<Reference, Descriptor>, reference: &Reference) -> StoreError {
    let known = names.keys().map(Reference::familiar).collect();
    StoreError::Unknown { reference: Box::new(reference.clone()), known }
}
