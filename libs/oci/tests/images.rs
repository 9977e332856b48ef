//! Images in all the shapes they arrive in, good and bad, made here.
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use lcow_oci::build::{ImageBuilder, LayerBuilder, write_layout};
use lcow_oci::load::{LoadError, Options, load};
use lcow_oci::model::{Index, Manifest, REF_NAME, RunConfig};
use lcow_oci::store::{Store, StoreError};
use lcow_oci::{Compression, Digest, Platform, Reference, Unfit};

struct Bench {
    directory: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        Self { directory, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self, name: &str) -> Result<Vec<String>, LoadError> {
        self.load_with(name, &Options::default())
    }

    fn load_with(&self, name: &str, options: &Options) -> Result<Vec<String>, LoadError> {
        let loaded = load(&self.store, &self.path(name), options)?;
        Ok(loaded.names.iter().map(ToString::to_string).collect())
    }

    /// Files in the store besides locks: what an error must not leave behind.
    fn leftovers(&self) -> usize {
        let count = |part: &str| fs::read_dir(self.store.root().join(part)).unwrap().count();
        count("blobs/sha256") + count("tmp")
    }

    fn layers(&self, reference: &str) -> Vec<Vec<u8>> {
        let image = self.store.get(&name(reference)).unwrap();
        (0..image.manifest.layers.len())
            .map(|at| {
                let mut bytes = Vec::new();
                self.store.open_layer(&image, at).unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            })
            .collect()
    }
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn layer(content: &[u8]) -> LayerBuilder {
    let mut layer = LayerBuilder::new();
    layer.directory("bin", 0o755).file("bin/tool", 0o755, content).symlink("bin/sh", "tool");
    layer
}

fn windows() -> Platform {
    Platform { os: "windows".into(), architecture: "amd64".into(), variant: None }
}

fn image(reference: &str) -> ImageBuilder {
    ImageBuilder::new(name(reference)).layer(layer(b"tool"), Compression::Gzip).cmd(["sh"])
}

/// Pack a directory the way `tar -C layout -c .` does, or with bare names.
fn tar_of(directory: &Path, target: &Path, prefix: &str) {
    let mut tar = tar::Builder::new(fs::File::create(target).unwrap());
    for part in ["index.json", "oci-layout", "manifest.json"] {
        if directory.join(part).exists() {
            tar.append_path_with_name(directory.join(part), format!("{prefix}{part}")).unwrap();
        }
    }
    for blob in fs::read_dir(directory.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let inside = format!("{prefix}blobs/sha256/{}", blob.file_name().to_str().unwrap());
        tar.append_path_with_name(blob.path(), inside).unwrap();
    }
    tar.finish().unwrap();
}

fn edit_index(layout: &Path, change: impl FnOnce(&mut Index)) {
    let path = layout.join("index.json");
    let mut index: Index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut index);
    fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
}

fn first_layer(layout: &Path) -> Digest {
    let index: Index = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = fs::read(layout.join("blobs/sha256").join(index.manifests[0].digest.hex())).unwrap();
    serde_json::from_slice::<Manifest>(&manifest).unwrap().layers[0].digest
}

#[test]
fn a_layout_is_loaded_from_directory_tar_and_packed_tar() {
    let bench = Bench::new();
    let digest = image("busybox").write_layout(&bench.path("layout")).unwrap();
    tar_of(&bench.path("layout"), &bench.path("plain.tar"), "");
    tar_of(&bench.path("layout"), &bench.path("dotted.tar"), "./");
    let plain = fs::read(bench.path("plain.tar")).unwrap();
    fs::write(bench.path("packed.tar.zst"), zstd::encode_all(&plain[..], 1).unwrap()).unwrap();
    for source in ["layout", "plain.tar", "dotted.tar", "packed.tar.zst"] {
        assert_eq!(bench.load(source).unwrap(), ["docker.io/library/busybox:latest"], "{source}");
        let list = bench.store.list().unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].digest, &list[0].platform), (digest, &Platform::host()));
        let found = bench.store.get(&name("busybox")).unwrap();
        assert_eq!(found.config.config.cmd, ["sh"]);
        assert_eq!(found.digest, digest);
        bench.store.remove(&name("busybox")).unwrap();
        assert_eq!(bench.leftovers(), 0, "{source}");
    }
}

#[test]
fn every_packing_unpacks_to_the_same_layer() {
    let bench = Bench::new();
    let mut builder = ImageBuilder::new(name("many"));
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        builder = builder.layer(layer(&vec![7; 100_000]), compression);
    }
    builder.write_layout(&bench.path("layout")).unwrap();
    bench.load("layout").unwrap();
    let layers = bench.layers("many");
    assert!(layers[0].len() > 100_000 && layers[0] == layers[1] && layers[1] == layers[2]);
}

#[test]
fn building_twice_gives_the_same_digest() {
    let bench = Bench::new();
    let build = |at: &str| image("a").write_layout(&bench.path(at)).unwrap();
    assert_eq!(build("one"), build("two"));
}

#[test]
fn names_come_from_the_archive_or_from_the_command() {
    let bench = Bench::new();
    image("a").write_layout(&bench.path("layout")).unwrap();
    let forced = Options { name: Some(name("forced:1")), ..Options::default() };
    assert_eq!(bench.load_with("layout", &forced).unwrap(), ["docker.io/library/forced:1"]);
    edit_index(&bench.path("layout"), |index| {
        index.manifests[0].annotations = [(REF_NAME.to_owned(), "ghcr.io/me/app:2".to_owned())].into();
    });
    assert_eq!(bench.load("layout").unwrap(), ["ghcr.io/me/app:2"]);
    edit_index(&bench.path("layout"), |index| {
        index.manifests[0].annotations = [(REF_NAME.to_owned(), "v1".to_owned())].into();
    });
    let error = bench.load("layout").unwrap_err().to_string();
    assert!(error.contains("--name") && error.contains("v1"), "{error}");
    edit_index(&bench.path("layout"), |index| index.manifests[0].annotations.clear());
    assert!(matches!(bench.load("layout"), Err(LoadError::NoName { tag: None })));
    assert_eq!(bench.load_with("layout", &forced).unwrap(), ["docker.io/library/forced:1"]);
}

#[test]
fn several_images_come_in_together() {
    let bench = Bench::new();
    write_layout(&bench.path("layout"), vec![image("one"), image("two:3")]).unwrap();
    assert_eq!(bench.load("layout").unwrap(), ["docker.io/library/one:latest", "docker.io/library/two:3"]);
    let forced = Options { name: Some(name("x")), ..Options::default() };
    assert!(matches!(bench.load_with("layout", &forced), Err(LoadError::Several { count: 2 })));
    // They share blobs: removing one keeps what the other needs.
    bench.store.remove(&name("one")).unwrap();
    assert_eq!(bench.layers("two:3").len(), 1);
}

#[test]
fn a_name_is_for_the_one_image_that_the_machine_can_run() {
    let bench = Bench::new();
    let forced = Options { name: Some(name("x")), ..Options::default() };
    let is_refused = |from: &str| {
        let error = bench.load_with(from, &forced).unwrap_err();
        assert!(matches!(error, LoadError::Unfit(Unfit::Platform { .. })), "{error}");
        assert_eq!(bench.leftovers(), 0);
    };
    write_layout(&bench.path("layout"), vec![image("one").platform(windows())]).unwrap();
    is_refused("layout");
    write_layout(&bench.path("layout"), vec![image("a").platform(windows()), image("b")]).unwrap();
    assert_eq!(bench.load_with("layout", &forced).unwrap(), ["docker.io/library/x:latest"]);
    bench.store.remove(&name("x")).unwrap();

    let fitting = (docker_config(Digest::of(&plain_layer())), serde_json::json!(["b:1"]));
    let mut other = fitting.clone();
    other.0["architecture"] = "s390x".into();
    docker_archive(&bench, &[other.clone(), other.clone()]);
    is_refused("saved.tar");
    docker_archive(&bench, &[other.clone(), fitting.clone()]);
    assert_eq!(bench.load_with("saved.tar", &forced).unwrap(), ["docker.io/library/x:latest"]);
    bench.store.remove(&name("x")).unwrap();
    docker_archive(&bench, &[fitting.clone(), other, fitting]);
    assert!(matches!(bench.load_with("saved.tar", &forced), Err(LoadError::Several { count: 2 })));
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn the_right_platform_is_found_in_nested_indexes() {
    let bench = Bench::new();
    let layout = bench.path("layout");
    write_layout(&layout, vec![image("app").platform(windows()), image("app")]).unwrap();
    edit_index(&layout, |index| {
        let mut inner = Index { manifests: std::mem::take(&mut index.manifests), ..Index::default() };
        for manifest in &mut inner.manifests {
            manifest.annotations.clear();
        }
        let bytes = serde_json::to_vec(&inner).unwrap();
        let digest = Digest::of(&bytes);
        fs::write(layout.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
        let mut outer =
            lcow_oci::model::Descriptor::new(lcow_oci::model::media::INDEX, digest, bytes.len() as u64);
        outer.annotations.insert(lcow_oci::model::IMAGE_NAME.to_owned(), "app:nested".to_owned());
        index.manifests = vec![outer];
    });
    assert_eq!(bench.load("layout").unwrap(), ["docker.io/library/app:nested"]);
    assert_eq!(bench.store.get(&name("app:nested")).unwrap().config.platform, Platform::host());
}

#[test]
fn a_windows_image_is_refused_and_nothing_is_disturbed() {
    let bench = Bench::new();
    image("good").write_layout(&bench.path("good")).unwrap();
    bench.load("good").unwrap();
    let before = bench.leftovers();
    image("win").platform(windows()).write_layout(&bench.path("win")).unwrap();
    let error = bench.load("win").unwrap_err().to_string();
    assert!(error.contains("windows/amd64") && error.contains("linux/"), "{error}");
    // The index lies about it: the configuration decides.
    edit_index(&bench.path("win"), |index| index.manifests[0].platform = Some(Platform::host()));
    assert!(matches!(bench.load("win"), Err(LoadError::Unfit(Unfit::Platform { .. }))));
    assert_eq!(bench.leftovers(), before);
    assert_eq!(bench.layers("good").len(), 1);
}

#[test]
fn a_foreign_layer_is_named() {
    let bench = Bench::new();
    let layout = bench.path("layout");
    image("a").write_layout(&layout).unwrap();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    edit_index(&layout, |index| {
        let path = layout.join("blobs/sha256").join(index.manifests[0].digest.hex());
        let mut manifest: Manifest = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        manifest.layers[0].media_type = foreign.to_owned();
        let bytes = serde_json::to_vec(&manifest).unwrap();
        index.manifests[0].digest = Digest::of(&bytes);
        fs::write(layout.join("blobs/sha256").join(Digest::of(&bytes).hex()), bytes).unwrap();
    });
    let error = bench.load("layout").unwrap_err().to_string();
    assert!(error.contains(&first_layer(&layout).to_string()) && error.contains(foreign), "{error}");
}

#[test]
fn a_damaged_layer_is_named_and_leaves_nothing() {
    let bench = Bench::new();
    let layout = bench.path("layout");
    image("a").write_layout(&layout).unwrap();
    let digest = first_layer(&layout);
    let blob = layout.join("blobs/sha256").join(digest.hex());
    let whole = fs::read(&blob).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() - 1], &flipped, &[&whole[..], b"more"].concat(), b""] {
        fs::write(&blob, damaged).unwrap();
        let error = bench.load("layout").unwrap_err().to_string();
        assert!(error.contains(&digest.to_string()), "{error}");
        assert_eq!(bench.leftovers(), 0);
        assert!(bench.store.list().unwrap().is_empty());
    }
    fs::remove_file(&blob).unwrap();
    assert!(bench.load("layout").unwrap_err().to_string().contains(&digest.hex()));
}

#[test]
fn loading_again_repairs_a_layer_that_changed_in_the_store() {
    let bench = Bench::new();
    let layout = bench.path("layout");
    image("a").write_layout(&layout).unwrap();
    bench.load("layout").unwrap();
    let name = first_layer(&layout).hex();
    let whole = fs::read(layout.join("blobs/sha256").join(&name)).unwrap();
    let stored = bench.path("store/blobs/sha256").join(&name);
    assert_eq!(fs::read(&stored).unwrap(), whole);
    fs::write(&stored, vec![0; whole.len()]).unwrap();
    bench.load("layout").unwrap();
    assert_eq!(fs::read(&stored).unwrap(), whole);
}

#[test]
fn a_layer_that_changes_in_the_store_is_noticed_at_its_end() {
    let bench = Bench::new();
    // Content that cannot be packed: every bit of the blob matters.
    let noise: Vec<u8> = (0..400u32).flat_map(|n| *Digest::of(&n.to_le_bytes()).bytes()).collect();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        ImageBuilder::new(name("a"))
            .layer(layer(&noise), compression)
            .write_layout(&bench.path("layout"))
            .unwrap();
        bench.load("layout").unwrap();
        let image = bench.store.get(&name("a")).unwrap();
        let digest = image.manifest.layers[0].digest;
        let blob = bench.store.root().join("blobs/sha256").join(digest.hex());
        let whole = fs::read(&blob).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x40;
        for damaged in [&whole[..whole.len() - 20], &flipped] {
            fs::write(&blob, damaged).unwrap();
            let read = bench.store.open_layer(&image, 0).unwrap().read_to_end(&mut Vec::new());
            let error = read.unwrap_err().to_string();
            assert!(error.contains(&digest.to_string()), "{compression:?}: {error}");
        }
        bench.store.remove(&name("a")).unwrap();
    }
}

/// What `docker save` wrote: layers in directories of their own, one of them a link to another.
fn docker_archive(bench: &Bench, images: &[(serde_json::Value, serde_json::Value)]) {
    let mut tar = tar::Builder::new(fs::File::create(bench.path("saved.tar")).unwrap());
    let mut add = |path: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, data).unwrap();
    };
    let mut manifest = Vec::new();
    add("one/layer.tar", &plain_layer());
    for (at, (config, tags)) in images.iter().enumerate() {
        let name = format!("{at}.json");
        add(&name, config.to_string().as_bytes());
        manifest.push(serde_json::json!(
            {"Config": name, "RepoTags": tags, "Layers": ["one/layer.tar", "two/layer.tar"]}
        ));
    }
    add("manifest.json", serde_json::Value::from(manifest).to_string().as_bytes());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "two/layer.tar", "../one/layer.tar").unwrap();
    tar.finish().unwrap();
}

fn plain_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    tar.append_data(&mut header, "hello", &b"hello"[..]).unwrap();
    tar.into_inner().unwrap()
}

fn docker_config(diff_id: Digest) -> serde_json::Value {
    let host = Platform::host();
    serde_json::json!({
        "os": "linux", "architecture": host.architecture,
        "config": {"Env": null, "Cmd": ["/hello"], "Entrypoint": null, "Labels": null},
        "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id]},
    })
}

#[test]
fn a_docker_archive_is_loaded_under_all_its_tags() {
    let bench = Bench::new();
    let diff_id = Digest::of(&plain_layer());
    docker_archive(&bench, &[(docker_config(diff_id), serde_json::json!(["a:1", "me/b:2"]))]);
    assert_eq!(bench.load("saved.tar").unwrap(), ["docker.io/library/a:1", "docker.io/me/b:2"]);
    assert_eq!(bench.layers("me/b:2"), [plain_layer(), plain_layer()]);
    assert_eq!(bench.store.get(&name("a:1")).unwrap().config.config.cmd, ["/hello"]);
}

#[test]
fn a_docker_archive_without_tags_or_with_wrong_layers_is_refused() {
    let bench = Bench::new();
    let diff_id = Digest::of(&plain_layer());
    docker_archive(&bench, &[(docker_config(diff_id), serde_json::Value::Null)]);
    assert!(matches!(bench.load("saved.tar"), Err(LoadError::NoName { .. })));
    let other = Digest::of(b"other");
    docker_archive(&bench, &[(docker_config(other), serde_json::json!(["a:1"]))]);
    let error = bench.load("saved.tar").unwrap_err().to_string();
    assert!(error.contains(&other.to_string()), "{error}");
    assert_eq!(bench.leftovers(), 0);
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    let bench = Bench::new();
    fs::write(bench.path("other.tar"), plain_layer()).unwrap();
    assert!(matches!(bench.load("other.tar"), Err(LoadError::NotImage { .. })));
    fs::write(bench.path("junk"), [1; 2000]).unwrap();
    assert!(matches!(bench.load("junk"), Err(LoadError::Tar { .. })));
    assert!(matches!(bench.load("nothing"), Err(LoadError::Read { .. })));
}

#[test]
fn an_unknown_image_is_answered_with_what_there_is() {
    let bench = Bench::new();
    let missing = |bench: &Bench| bench.store.get(&name("nope")).unwrap_err();
    assert!(missing(&bench).to_string().contains("no images yet"));
    image("here:1").write_layout(&bench.path("layout")).unwrap();
    bench.load("layout").unwrap();
    assert!(missing(&bench).to_string().contains("here:1"));
    assert!(matches!(bench.store.remove(&name("nope")), Err(StoreError::Unknown { .. })));
    let digest = bench.store.list().unwrap()[0].digest;
    assert!(bench.store.get(&name(&format!("here@{digest}"))).is_ok());
    assert!(bench.store.get(&name(&format!("other@{digest}"))).is_err());
}

#[test]
fn many_loaders_at_once_lose_nothing() {
    let bench = Bench::new();
    for n in 0..8 {
        image(&format!("image{n}")).write_layout(&bench.path(&format!("layout{n}"))).unwrap();
    }
    std::thread::scope(|scope| {
        for n in 0..8 {
            let bench = &bench;
            // Every thread its own handle, as processes have.
            scope.spawn(move || {
                let store = Store::open(bench.store.root()).unwrap();
                load(&store, &bench.path(&format!("layout{n}")), &Options::default()).unwrap();
                if n % 2 == 0 {
                    store.remove(&name(&format!("image{n}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(bench.store.list().unwrap().len(), 4);
    assert_eq!(bench.layers("image1").len(), 1);
}

/// The way to a disk: an image's layer, unpacked and checked, straight into the converter.
#[test]
fn a_layer_becomes_a_disk() {
    let bench = Bench::new();
    let run = RunConfig { user: "1000".into(), ..RunConfig::default() };
    image("a").run_config(run).write_layout(&bench.path("layout")).unwrap();
    bench.load("layout").unwrap();
    let image = bench.store.get(&name("a")).unwrap();
    let stream = bench.store.open_layer(&image, 0).unwrap();
    let mut disk = std::io::Cursor::new(Vec::new());
    let stats =
        lcow_disk::ext4::layer::convert(stream, &mut disk, &lcow_disk::ext4::layer::Options::default())
            .unwrap();
    // Root, bin, tool, sh.
    assert_eq!(stats.inodes, 4);
}
