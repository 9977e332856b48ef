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
    /// Name for the image, instead of any in the archive; only for archives with one image that the machine can run.
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

/// What came of loading.
#[derive(Debug)]
pub struct Loaded {
    /// The images that are in the store now.
    pub names: Vec<Reference>,
    /// Why others are not: they are for other machines only.
    pub skipped: Vec<Unfit>,
}

/// Load all images in `path` that the wanted machine can run; it is an error if there are none. All are loaded or none: after
/// an error the store is as before.
pub fn load(store: &Store, path: &Path, options: &Options) -> Result<Loaded, LoadError> {
    let loaded = load_locked(store, path, options);
    if loaded.is_err() {
        // What came in before the error has no name. That it could not be cleaned up now must not hide the error.
        let _ = store.collect_garbage();
    }
    loaded
}

fn load_locked(store: &Store, path: &Path, options: &Options) -> Result<Loaded, LoadError> {
    let held = store.ingest()?;
    let archive = Archive::open(path, store)?;
    let loader = Loader { store, archive: &archive, options, held: &held };
    let Parts { images, mut skipped } = if archive.contains("index.json") {
        layout::load(&loader)?
    } else if archive.contains("manifest.json") {
        docker::load(&loader)?
    } else {
        return Err(LoadError::NotImage { path: path.to_owned() });
    };
    if images.is_empty() && !skipped.is_empty() {
        return Err(skipped.remove(0).into());
    }
    let names = images.iter().map(|(name, _)| name.clone()).collect();
    store.name(images, &held)?;
    Ok(Loaded { names, skipped })
}

struct Loader<'a> {
    store: &'a Store,
    archive: &'a Archive,
    options: &'a Options,
    held: &'a Ingest,
}

impl Loader<'_> {
    /// Checks that the name that was asked for, if any, is for one of these images: others are for other machines.
    fn check_count<T>(&self, fitting: &[T], parts: &Parts) -> Result<(), LoadError> {
        match (&self.options.name, fitting.len()) {
            (Some(_), 0) if !parts.skipped.is_empty() => Ok(()),
            (Some(_), count) if count != 1 => Err(LoadError::Several { count }),
            _ => Ok(()),
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

/// Images ready to be named, and those that are left out.
#[derive(Default)]
struct Parts {
    images: Vec<(Reference, Descriptor)>,
    skipped: Vec<Unfit>,
}

impl Parts {
    /// What was found of an image; `None`, and noted, if it is for other machines.
    fn fitting<T>(&mut self, found: Result<T, LoadError>) -> Result<Option<T>, LoadError> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(LoadError::Unfit(unfit @ Unfit::Platform { .. })) => {
                self.skipped.push(unfit);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds an image with its names.
    fn add(&mut self, names: Vec<Reference>, image: &Descriptor) {
        self.images.extend(names.into_iter().map(|name| (name, image.clone())));
    }
}
