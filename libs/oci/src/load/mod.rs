//! Images from files into the store: OCI layouts and `docker save` archives, as directory or tar, packed or not.
mod archive;
mod docker;
mod error;
mod layout;
mod rootfs;

use std::path::Path;

pub use error::LoadError;
pub use rootfs::{About, import};

use crate::model::Descriptor;
use crate::store::{Ingest, Store};
use crate::{Platform, Reference, Unfit};
use archive::Archive;

/// What to load and how to call it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name for the image, instead of any in the archive; only for archives with one image.
    pub name: Option<Reference>,
    /// The machine it must run on.
    pub platform: Platform,
    /// Only the image with this name in the archive, which may have any number of others: how an image is found in a cache.
    pub only: Option<Reference>,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: None, platform: Platform::host(), only: None }
    }
}

/// Load all images in `path` and give back their names. All are loaded or none: after an error the store is as before.
pub fn load(store: &Store, path: &Path, options: &Options) -> Result<Vec<Reference>, LoadError> {
    let loaded = load_locked(store, path, options);
    if loaded.is_err() {
        // What came in before the error has no name. That it could not be cleaned up now must not hide the error.
        let _ = store.collect_garbage();
    }
    loaded
}

fn load_locked(store: &Store, path: &Path, options: &Options) -> Result<Vec<Reference>, LoadError> {
    let held = store.ingest()?;
    let archive = Archive::open(path, store)?;
    let loader = Loader { store, archive: &archive, options, held: &held };
    let images = if archive.contains("index.json") {
        layout::load(&loader)?
    } else if archive.contains("manifest.json") {
        docker::load(&loader)?
    } else {
        return Err(LoadError::NotImage { path: path.to_owned() });
    };
    let names = images.iter().map(|(name, _)| name.clone()).collect();
    store.name(images, &held)?;
    Ok(names)
}

struct Loader<'a> {
    store: &'a Store,
    archive: &'a Archive,
    options: &'a Options,
    held: &'a Ingest,
}

impl Loader<'_> {
    /// The name for an archive with `count` images, if one was asked for.
    fn forced_name(&self, count: usize) -> Result<Option<Reference>, LoadError> {
        match &self.options.name {
            Some(_) if count != 1 => Err(LoadError::Several { count }),
            name => Ok(name.clone()),
        }
    }

    /// Whether an image with this name is wanted.
    fn wants(&self, name: &Reference) -> bool {
        self.options.only.as_ref().is_none_or(|only| only == name)
    }

    /// Check that something was found, if one image was wanted.
    fn found(&self, any: bool, names: impl Iterator<Item = Reference>) -> Result<(), LoadError> {
        match &self.options.only {
            Some(only) if !any => Err(LoadError::Unknown {
                name: only.familiar(),
                known: names.map(|name| name.familiar()).collect(),
            }),
            _ => Ok(()),
        }
    }

    fn check_platform(&self, name: &str, found: &Platform) -> Result<(), LoadError> {
        if self.options.platform.accepts(found) {
            return Ok(());
        }
        Err(Unfit::Platform {
            name: name.to_owned(),
            wanted: Box::new(self.options.platform.clone()),
            found: vec![found.to_string()],
        }
        .into())
    }
}

/// Images ready to be named.
type Named = Vec<(Reference, Descriptor)>;
