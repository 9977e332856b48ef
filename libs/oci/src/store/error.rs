use std::io;
use std::path::{Path, PathBuf};

use crate::layer::LayerError;
use crate::{Digest, Reference, ReferenceError};

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of the store failed.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// A document of the store or of an image is not what it should be.
    #[error("{object} is not a valid document")]
    Json {
        /// File or digest.
        object: String,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// No image has this name.
    #[error("no image {reference}; {}", known_images(known))]
    Unknown {
        /// The name.
        reference: Box<Reference>,
        /// The names there are.
        known: Vec<String>,
    },
    /// Several images could be meant.
    #[error("{text} is the start of several images' ids")]
    Ambiguous {
        /// What was given.
        text: String,
    },
    /// What was given is no name at all.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A blob is not in the store.
    #[error("blob {digest} is missing")]
    Missing {
        /// Which.
        digest: Digest,
    },
    /// The source of a blob failed.
    #[error("reading blob {digest}")]
    Source {
        /// Which.
        digest: String,
        /// How.
        #[source]
        source: io::Error,
    },
    /// A blob does not have the content that its digest names.
    #[error("blob {expected} is damaged: its content is {found} ({length} bytes, {size} expected)")]
    Content {
        /// Digest that was promised.
        expected: Digest,
        /// Digest of what came.
        found: Digest,
        /// Bytes that were promised.
        size: u64,
        /// Bytes that came.
        length: u64,
    },
    /// A document is larger than any real one.
    #[error("document {digest} has {size} bytes, more than the 16 MiB allowed")]
    Large {
        /// Which.
        digest: Digest,
        /// Its size.
        size: u64,
    },
    /// Layers and digests of their content do not pair up.
    #[error("image {digest} has {layers} layers but {ids} content digests")]
    Layers {
        /// Digest of the manifest.
        digest: Digest,
        /// Layers in the manifest.
        layers: usize,
        /// `diff_ids` in the configuration.
        ids: usize,
    },
    /// A layer is of a kind that Linux containers cannot have.
    #[error("layer {digest} has the media type {media_type:?}, which is not a Linux layer")]
    MediaType {
        /// Which.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// A layer is no proper tar.
    #[error("layer {digest} cannot be read")]
    Tar {
        /// Which.
        digest: Digest,
        /// What is wrong.
        #[source]
        source: lcow_disk::tar::TarError,
    },
    /// A layer cannot be opened.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

impl StoreError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

fn known_images(known: &[String]) -> String {
    if known.is_empty() {
        "there are no images yet".to_owned()
    } else {
        format!("there are: {}", known.join(", "))
    }
}
