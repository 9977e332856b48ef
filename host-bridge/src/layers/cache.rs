//! Layer disks by the digest of their content: one fixed VHD with a read-only ext4 for each layer, shared by all images
//! and containers.
//!
//! A disk is written under another name and renamed when it is whole, so that a name always leads to a whole disk. Who
//! converts a layer holds a lock of its own; a temporary file whose lock is free belongs to nobody any more.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use lcow_disk::ext4::layer::{self, LayerError};
use lcow_oci::Digest;
use lcow_oci::store::{Image, Store, StoreError};

use crate::lock::Lock;

/// Part of every name: disks of another version are made anew.
const FORMAT_VERSION: u32 = 1;
const TEMPORARY: &str = "tmp";

/// Why there is no disk for a layer.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The layer's blob cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layer cannot be turned into a disk.
    #[error("cannot convert layer {layer}")]
    Convert {
        /// Digest of the stored blob.
        layer: Digest,
        /// Why.
        source: LayerError,
    },
    /// A file of the cache failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CacheError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}

/// The layer disks in a directory.
#[derive(Clone, Debug)]
pub struct LayerCache {
    root: PathBuf,
}

impl LayerCache {
    /// The cache in `root`; the directory is made when something is put there.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The disks of an image's layers, lowest first. What is missing is converted, which may take a while.
    pub fn disks(&self, store: &Store, image: &Image) -> Result<Vec<PathBuf>, CacheError> {
        fs::create_dir_all(&self.root).map_err(CacheError::io("create", &self.root))?;
        (0..image.manifest.layers.len()).map(|at| self.disk(store, image, at)).collect()
    }

    fn disk(&self, store: &Store, image: &Image, at: usize) -> Result<PathBuf, CacheError> {
        let ids = &image.config.rootfs.diff_ids;
        let Some(diff_id) = ids.get(at) else {
            let layers = image.manifest.layers.len();
            return Err(StoreError::Layers { digest: image.digest, layers, ids: ids.len() }.into());
        };
        let stem = format!("{}.v{FORMAT_VERSION}", diff_id.hex());
        let disk = self.root.join(format!("{stem}.vhd"));
        if disk.is_file() {
            return Ok(disk);
        }
        let lock = self.root.join(format!("{stem}.lock"));
        let _held = Lock::wait(&lock).map_err(CacheError::io("lock", &lock))?;
        if disk.is_file() {
            // Somebody else has made it meanwhile.
            return Ok(disk);
        }
        let temporary = self.root.join(format!("{stem}.{TEMPORARY}"));
        let made = self.convert(store, image, at, &temporary);
        match made.and_then(|()| fs::rename(&temporary, &disk).map_err(CacheError::io("store", &disk))) {
            Ok(()) => Ok(disk),
            Err(error) => {
                // What is left of it is found by the next conversion.
                let _ = fs::remove_file(&temporary);
                Err(error)
            }
        }
    }

    fn convert(&self, store: &Store, image: &Image, at: usize, target: &Path) -> Result<(), CacheError> {
        self.remove_stale()?;
        let tar = store.open_layer(image, at)?;
        let layer = image.manifest.layers[at].digest;
        let file = File::create(target).map_err(CacheError::io("create", target))?;
        let options = layer::Options { vhd_footer: true, ..layer::Options::default() };
        layer::convert(tar, &file, &options).map_err(|source| CacheError::Convert { layer, source })?;
        // A name must not lead to holes after a power failure.
        file.sync_all().map_err(CacheError::io("write", target))
    }

    /// Removes what killed conversions have left behind.
    fn remove_stale(&self) -> Result<(), CacheError> {
        for entry in fs::read_dir(&self.root).map_err(CacheError::io("list", &self.root))? {
            let path = entry.map_err(CacheError::io("list", &self.root))?.path();
            if path.extension().is_none_or(|extension| extension != TEMPORARY) {
                continue;
            }
            // Our own layer's lock is held, by us: then nothing happens, and its file is about to be overwritten.
            if let Ok(Some(_nobody)) = Lock::try_now(&path.with_extension("lock")) {
                match fs::remove_file(&path) {
                    // Its conversion has finished since the list was made.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(CacheError::io("remove", &path))?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcow_oci::build::{ImageBuilder, LayerBuilder};
    use lcow_oci::{Compression, Reference, load};

    struct Lab {
        directory: tempfile::TempDir,
        store: Store,
        cache: LayerCache,
    }

    impl Lab {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("directory");
            let store = Store::open(directory.path().join("images")).expect("store");
            let cache = LayerCache::new(directory.path().join("layers"));
            Self { directory, store, cache }
        }

        fn image(&self) -> Image {
            let reference: Reference = "test".parse().expect("reference");
            let (mut low, mut high) = (LayerBuilder::new(), LayerBuilder::new());
            low.file("a", 0o644, b"low");
            high.file("b", 0o644, &vec![7; 100_000]).whiteout("a");
            let layout = self.directory.path().join("layout");
            ImageBuilder::new(reference.clone())
                .layer(low, Compression::Gzip)
                .layer(high, Compression::None)
                .write_layout(&layout)
                .expect("layout");
            load::load(&self.store, &layout, &load::Options::default()).expect("loaded");
            self.store.get(&reference).expect("image")
        }

        fn files(&self, extension: &str) -> usize {
            let entries = fs::read_dir(&self.cache.root).expect("list");
            entries
                .filter(|entry| entry.as_ref().unwrap().path().extension() == Some(extension.as_ref()))
                .count()
        }
    }

    #[test]
    fn a_layer_is_converted_once() {
        let lab = Lab::new();
        let image = lab.image();
        let disks = lab.cache.disks(&lab.store, &image).expect("disks");
        assert_eq!(disks.len(), 2);
        let times: Vec<_> = disks.iter().map(|disk| disk.metadata().unwrap().modified().unwrap()).collect();
        assert_eq!(lab.cache.disks(&lab.store, &image).expect("again"), disks);
        let again: Vec<_> = disks.iter().map(|disk| disk.metadata().unwrap().modified().unwrap()).collect();
        assert_eq!(times, again);
        let opened = crate::vmm::Disk::open(&disks[0], true).expect("a disk");
        assert!(matches!(opened.format, crate::vmm::disk::Format::FixedVhd { .. }));
    }

    #[test]
    fn many_at_once_agree() {
        let lab = Lab::new();
        let image = lab.image();
        std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|_| scope.spawn(|| lab.cache.disks(&lab.store, &image).expect("disks"))).collect();
            for disks in all {
                assert_eq!(disks.join().expect("thread").len(), 2);
            }
        });
        assert_eq!((lab.files("vhd"), lab.files(TEMPORARY)), (2, 0));
    }

    #[test]
    fn a_damaged_layer_is_named_and_leaves_nothing() {
        let lab = Lab::new();
        let image = lab.image();
        let layer = image.manifest.layers[1].digest;
        let blob = lab.store.root().join("blobs/sha256").join(layer.hex());
        let mut bytes = fs::read(&blob).expect("blob");
        bytes[2000] ^= 1;
        fs::write(&blob, &bytes).expect("damage");
        let error = lab.cache.disks(&lab.store, &image).expect_err("damaged");
        assert!(error.to_string().contains(&layer.to_string()), "{error}");
        bytes.truncate(20_000);
        fs::write(&blob, &bytes).expect("truncate");
        assert!(lab.cache.disks(&lab.store, &image).is_err());
        assert_eq!((lab.files("vhd"), lab.files(TEMPORARY)), (1, 0));
    }

    #[test]
    fn what_a_killed_conversion_left_is_removed() {
        let lab = Lab::new();
        fs::create_dir_all(&lab.cache.root).expect("directory");
        let stale = lab.cache.root.join("00.v1.tmp");
        fs::write(&stale, b"half").expect("stale");
        let busy = lab.cache.root.join("11.v1.tmp");
        fs::write(&busy, b"half").expect("busy");
        let _somebody = Lock::wait(&busy.with_extension("lock")).expect("lock");
        lab.cache.disks(&lab.store, &lab.image()).expect("disks");
        assert!(!stale.exists() && busy.exists());
    }
}
