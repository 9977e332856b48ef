//! Small images made from files, always the same bytes for the same input: for demonstrations and tests.
//!
//! ```
//! use lcow_oci::build::{ImageBuilder, LayerBuilder};
//! use lcow_oci::Compression;
//!
//! let mut root = LayerBuilder::new();
//! root.directory("bin", 0o755).file("bin/busybox", 0o755, b"\x7fELF").symlink("bin/sh", "busybox");
//! let directory = tempfile::tempdir().unwrap();
//! ImageBuilder::new("busybox".parse().unwrap())
//!     .layer(root, Compression::Gzip)
//!     .cmd(["sh"])
//!     .write_layout(directory.path())
//!     .unwrap();
//! assert!(directory.path().join("index.json").exists());
//! ```
mod image;
mod layer;

use std::io;
use std::path::PathBuf;

pub use image::{ImageBuilder, write_layout};
pub use layer::LayerBuilder;

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A layer cannot be packed.
    #[error("packing a layer")]
    Layer(#[source] io::Error),
    /// A file of the layout cannot be written.
    #[error("writing {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// A document cannot be made.
    #[error("writing a document of the image")]
    Json(#[from] serde_json::Error),
}
