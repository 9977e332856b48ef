use std::io;
use std::path::PathBuf;

use lcow_disk::tar::TarError;

use crate::store::StoreError;
use crate::{Digest, ReferenceError, Unfit};

/// Why an archive cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive cannot be opened or read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The archive is a damaged tar.
    #[error("{} is not a proper tar archive", path.display())]
    Tar {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: TarError,
    },
    /// There is neither an `index.json` nor a `manifest.json`.
    #[error("{} is neither an OCI image layout nor a `docker save` archive", path.display())]
    NotImage {
        /// The file or directory.
        path: PathBuf,
    },
    /// The archive lacks a part it speaks of.
    #[error("the archive has no {member}")]
    Missing {
        /// The part.
        member: String,
    },
    /// A document in the archive is not what it should be.
    #[error("{member} in the archive is not a valid document")]
    Json {
        /// Which.
        member: String,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A part of the archive does not have the content that its digest names.
    #[error("{member} in the archive is damaged: its content is {found}")]
    Damaged {
        /// Which.
        member: String,
        /// Digest of what is there.
        found: Digest,
    },
    /// An image without a usable name.
    #[error("the image has no name{}; give it one with --name", tag.as_ref().map(|t| format!(", only the tag {t:?}")).unwrap_or_default())]
    NoName {
        /// The bare tag, if there is one.
        tag: Option<String>,
    },
    /// The image that was wanted is not in the archive.
    #[error("there is no {name}; {}", if known.is_empty() { "no image has a name".to_owned() } else { format!("there are: {}", known.join(", ")) })]
    Unknown {
        /// What was wanted.
        name: String,
        /// The names that are there.
        known: Vec<String>,
    },
    /// A name was given for more or less than one image.
    #[error("the archive has {count} images for the wanted platform, so that one name cannot be given to it")]
    Several {
        /// How many there are.
        count: usize,
    },
    /// The name in the archive is none.
    #[error("the archive has a bad image name")]
    Name(#[from] ReferenceError),
    /// The image is there but of no use.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The store cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
