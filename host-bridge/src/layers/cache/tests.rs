//! The cache, without any VM.
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
        entries.filter(|entry| entry.as_ref().unwrap().path().extension() == Some(extension.as_ref())).count()
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
