//! A store, images, and clients that do not wait long.
use std::path::PathBuf;
use std::time::Duration;

use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::registry::{Observer, Options, Patience, PullError, Pulled, Quiet, Registry, Request, pull};
use lcow_oci::store::Store;
use lcow_oci::{Compression, Platform, Reference};

use crate::hub::noise;

/// A store in a directory that goes with the value.
pub(crate) struct Lab {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(directory.path().join("store")).expect("store");
        Self { directory, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn pull(&self, registry: &Registry, name: &str) -> Result<Pulled, PullError> {
        self.pull_watched(registry, name, &Quiet)
    }

    pub(crate) fn pull_watched(
        &self,
        registry: &Registry,
        name: &str,
        observer: &dyn Observer,
    ) -> Result<Pulled, PullError> {
        let reference = reference(name);
        let request = Request { reference: &reference, platform: Platform::host() };
        pull(&self.store, registry, &request, observer, None)
    }

    /// Blobs and temporary files that are in the store.
    pub(crate) fn files(&self) -> (usize, usize) {
        let count = |part: &str| std::fs::read_dir(self.store.root().join(part)).expect("list").count();
        (count("blobs/sha256"), count("tmp"))
    }
}

pub(crate) fn reference(name: &str) -> Reference {
    name.parse().expect("a reference")
}

/// A client that tries often and waits little.
pub(crate) fn hasty() -> Options {
    let patience = Patience {
        tries: 4,
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(2),
        connect: Duration::from_secs(10),
        silence: Duration::from_millis(500),
        helper: Duration::from_millis(200),
    };
    Options { patience, ..Options::default() }
}

/// An image with a layer of each packing, some 300 kB each.
pub(crate) fn image(name: &str) -> ImageBuilder {
    let layer = |seed| {
        let mut layer = LayerBuilder::new();
        layer.directory("data", 0o755).file(&format!("data/{seed}"), 0o644, &noise(300_000, seed));
        layer
    };
    ImageBuilder::new(reference(name))
        .layer(layer(1), Compression::Gzip)
        .layer(layer(2), Compression::Zstd)
        .layer(layer(3), Compression::None)
        .cmd(["sh"])
}
