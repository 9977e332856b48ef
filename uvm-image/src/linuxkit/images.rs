//! The images of a description: from caches, from the store, from registries, from directories and archives of files.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::iter::successors;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcow_oci::layer::LayerReader;
use lcow_oci::load::{self, About, LoadError};
use lcow_oci::model::Descriptor;
use lcow_oci::registry::{Observer, PullError, Registry, RegistryError, Request, package_lists_of, pull};
use lcow_oci::store::{Image, Store, StoreError};
use lcow_oci::{Digest, Platform, Reference, ReferenceError, Unfit};

use serde_json::Value;

use super::archive::archive_of;
use super::attestation::{self, AttestationError, Kept};
use crate::progress::{Progress, Task, Unit};
use crate::sbom::{Package, Part};

/// Where images come from.
pub struct Images {
    /// Where they are kept.
    pub store: Store,
    /// OCI layouts and `docker save` archives that are asked first.
    pub caches: Vec<PathBuf>,
    /// The machine they must be for.
    pub platform: Platform,
    /// Asked for what is nowhere else, if there is one.
    pub registry: Option<Registry>,
    /// Who hears how far pulls have come.
    pub progress: Progress,
    /// Where it is kept what others say is in them; `None` if nobody wants to know.
    pub attested: Option<Kept>,
    /// A place for what is made of directories and archives of files.
    pub scratch: Store,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// It is nowhere.
    #[error(
        "there is no image {name} here{}; --pull fetches it from its registry, --cache names another place",
        looked(places)
    )]
    Missing {
        /// The image.
        name: String,
        /// The caches that were asked.
        places: Vec<PathBuf>,
    },
    /// It is for other machines.
    #[error("the image {name} is not for {wanted}, only for {}", found.join(", "))]
    Platform {
        /// The image.
        name: String,
        /// The machine it should be for.
        wanted: Box<Platform>,
        /// Those it is for.
        found: Vec<String>,
    },
    /// It is for Windows.
    #[error("the image {name} is for Windows ({}); a utility VM runs Linux", found.join(", "))]
    Windows {
        /// The image.
        name: String,
        /// The platforms it is for.
        found: Vec<String>,
    },
    /// A cache cannot be read.
    #[error("cannot take {name} from {}", place.display())]
    Cache {
        /// The image.
        name: String,
        /// The cache.
        place: PathBuf,
        /// Why.
        source: Box<LoadError>,
    },
    /// What was said about it cannot be read.
    #[error("cannot read what was attested of {name}")]
    Attestation {
        /// The image.
        name: String,
        /// Why.
        source: AttestationError,
    },
    /// A registry does not give it.
    #[error("cannot pull {name}")]
    Pull {
        /// The image.
        name: String,
        /// Why.
        source: Box<PullError>,
    },
    /// A directory or an archive of files cannot be read.
    #[error("cannot use {} as an image", path.display())]
    Files {
        /// The directory or archive.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The directory or archive of files that `name` means instead of an image: `dir:PATH`, `tar:PATH`.
pub fn path_of(name: &str) -> Option<&Path> {
    name.strip_prefix("dir:").or_else(|| name.strip_prefix("tar:")).map(Path::new)
}

fn looked(places: &[PathBuf]) -> String {
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    if places.is_empty() { String::new() } else { format!(" (nor in {})", places.join(", ")) }
}

/// An image that is here.
#[derive(Debug, Clone)]
pub struct Found {
    /// The name the description has for it.
    pub name: String,
    /// Its parts.
    pub image: Image,
    /// SPDX documents about it.
    pub documents: Vec<Value>,
    store: Store,
}

impl Found {
    /// How many layers it has.
    pub fn layers(&self) -> usize {
        self.image.manifest.layers.len()
    }

    /// One of its layers, counted from the lowest.
    pub fn layer(&self, at: usize) -> Result<LayerReader, StoreError> {
        self.store.open_layer(&self.image, at)
    }

    /// It in a list of what is in boot files.
    pub fn part(&self) -> Part {
        let package = Package {
            name: self.name.clone(),
            version: Some(self.image.digest.to_string()),
            ..Package::default()
        };
        Part { package, linked: Vec::new(), documents: self.documents.clone() }
    }

    /// One of its blobs.
    pub fn blob(&self, digest: &Digest) -> Result<File, StoreError> {
        self.store.open_blob(digest)
    }

    /// A label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.image.config.config.labels.get(name).map(String::as_str)
    }
}

impl Images {
    /// The image that the description calls `name`: a reference, or `dir:PATH` or `tar:PATH`.
    pub fn get(&self, name: &str) -> Result<Found, ImageError> {
        if let Some(path) = path_of(name) {
            return self.files(name, path);
        }
        let reference: Reference = name.parse()?;
        if let Some(registry) = &self.registry {
            self.pull(name, &reference, registry)?;
            return self.stored(name, &reference);
        }
        for place in &self.caches {
            let only = Some(reference.clone());
            let options = load::Options { name: None, platform: self.platform.clone(), only };
            match load::load(&self.store, place, &options) {
                Ok(_) => {
                    if let (Some(kept), Ok(image)) = (&self.attested, self.store.get(&reference)) {
                        let about = |source| ImageError::Attestation { name: name.to_owned(), source };
                        let documents =
                            attestation::documents(place, &reference, &image.digest).map_err(about)?;
                        kept.put(&image.digest, &documents).map_err(about)?;
                    }
                    return self.stored(name, &reference);
                }
                Err(LoadError::Unknown { .. }) => {}
                Err(LoadError::Unfit(Unfit::Platform { found, .. })) => {
                    return Err(self.other_platform(name, found));
                }
                Err(source) => {
                    let (name, place) = (name.to_owned(), place.clone());
                    return Err(ImageError::Cache { name, place, source: Box::new(source) });
                }
            }
        }
        self.stored(name, &reference)
    }

    fn stored(&self, name: &str, reference: &Reference) -> Result<Found, ImageError> {
        let image = match self.store.get(reference) {
            Ok(image) => image,
            Err(StoreError::Unknown { .. }) => {
                return Err(ImageError::Missing { name: name.to_owned(), places: self.caches.clone() });
            }
            Err(error) => return Err(error.into()),
        };
        if !self.platform.accepts(&image.config.platform) {
            return Err(self.other_platform(name, vec![image.config.platform.to_string()]));
        }
        let name = name.to_owned();
        let documents = match &self.attested {
            Some(kept) => kept.get(&image.digest),
            None => Ok(Vec::new()),
        };
        match documents {
            Ok(documents) => Ok(Found { name, image, documents, store: self.store.clone() }),
            Err(source) => Err(ImageError::Attestation { name, source }),
        }
    }

    fn pull(&self, name: &str, reference: &Reference, registry: &Registry) -> Result<(), ImageError> {
        let task = self.progress.task(format!("pulling {reference}"), Some(0), Unit::Bytes);
        let pulling = Pulling(task);
        let request = Request { reference, platform: self.platform.clone() };
        let failed = |source| ImageError::Pull { name: reference.to_string(), source: Box::new(source) };
        let pulled = match pull(&self.store, registry, &request, &pulling, None) {
            Ok(pulled) => pulled,
            Err(PullError::Unfit(Unfit::Platform { found, .. })) => {
                return Err(self.other_platform(&reference.to_string(), found));
            }
            Err(source) => return Err(failed(source)),
        };
        let Some(kept) = &self.attested else { return Ok(()) };
        let documents = package_lists_of(registry, reference, &pulled, &pulling)
            .map_err(|source| failed(source.into()))?;
        kept.put(&pulled.digest, &documents)
            .map_err(|source| ImageError::Attestation { name: name.to_owned(), source })
    }

    fn other_platform(&self, name: &str, found: Vec<String>) -> ImageError {
        let name = name.to_owned();
        if !found.is_empty() && found.iter().all(|platform| platform.starts_with("windows/")) {
            return ImageError::Windows { name, found };
        }
        ImageError::Platform { name, wanted: Box::new(self.platform.clone()), found }
    }

    /// An image of the files in a directory or an archive.
    fn files(&self, name: &str, path: &Path) -> Result<Found, ImageError> {
        let fault = |source| ImageError::Files { path: path.to_owned(), source };
        let tar: Box<dyn Read> = if path.is_dir() {
            Box::new(archive_of(path).map_err(fault)?)
        } else {
            Box::new(File::open(path).map_err(fault)?)
        };
        let digest = Digest::of(name.as_bytes()).hex();
        let reference: Reference = format!("files.invalid/{digest}").parse()?;
        let about = About { origin: path.display().to_string(), ..About::default() };
        load::import(&self.scratch, tar, &reference, about).map_err(|source| ImageError::Cache {
            name: name.to_owned(),
            place: path.to_owned(),
            source: Box::new(source),
        })?;
        let (image, store) = (self.scratch.get(&reference)?, self.scratch.clone());
        Ok(Found { name: name.to_owned(), image, documents: Vec::new(), store })
    }
}

/// Tells of a pull.
struct Pulling(Task);

impl Observer for Pulling {
    fn layers(&self, layers: &[Descriptor]) {
        self.0.lengthen(layers.iter().map(|layer| layer.size).sum());
    }

    fn present(&self, layer: &Descriptor) {
        self.0.add(layer.size);
    }

    fn bytes(&self, _layer: &Descriptor, count: u64) {
        self.0.add(count);
    }

    fn retry(&self, error: &RegistryError, pause: Duration) {
        let causes = successors(error.source(), |error| (*error).source());
        let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        self.0.say(&format!("uvm-build: {text}; trying again in {:.1} s", pause.as_secs_f64()));
    }
}
