//! From a registry that misbehaves.
use std::sync::Mutex;
use std::time::Duration;

use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::registry::{Observer, PullError, Registry, RegistryError};
use lcow_oci::store::StoreError;
use lcow_oci::{Compression, Digest, Unfit};

use crate::hub::noise;
use crate::server::{Fault, Server};
use crate::support::{Lab, hasty, reference};

/// What was tried again, and after what pause.
#[derive(Default)]
struct Retries(Mutex<Vec<(String, Duration)>>);

impl Observer for Retries {
    fn retry(&self, error: &RegistryError, pause: Duration) {
        self.0.lock().expect("retries").push((error.to_string(), pause));
    }
}

/// A store, a server with an image of one layer of a megabyte, and that layer's path there.
struct Bench {
    lab: Lab,
    server: Server,
    layer: String,
    registry: Registry,
}

impl Bench {
    fn new() -> Self {
        let lab = Lab::new();
        let mut layer = LayerBuilder::new();
        layer.file("noise", 0o644, &noise(1 << 20, 7));
        let layout = lab.path("layout");
        ImageBuilder::new(reference("app"))
            .layer(layer, Compression::Gzip)
            .write_layout(&layout)
            .expect("layout");
        let server = Server::start(&layout);
        let largest = std::fs::read_dir(layout.join("blobs/sha256"))
            .expect("blobs")
            .map(|entry| entry.expect("entry"))
            .max_by_key(|entry| entry.metadata().expect("size").len())
            .expect("a blob");
        let layer = format!("blobs/sha256:{}", largest.file_name().to_string_lossy());
        Self { lab, server, layer, registry: Registry::new(hasty()) }
    }

    fn pull(&self) -> Result<(), PullError> {
        self.lab.pull(&self.registry, &self.server.name()).map(drop)
    }

    /// The image is there and every blob of it is right.
    fn check(&self) {
        let image = self.lab.store.get(&reference(&self.server.name())).expect("image");
        let mut tar = self.lab.store.open_layer(&image, 0).expect("layer");
        std::io::copy(&mut tar, &mut std::io::sink()).expect("whole");
    }

    fn ranges(&self) -> Vec<Option<u64>> {
        self.server.asked(&self.layer).into_iter().map(|asked| asked.range).collect()
    }

    /// Nothing of a failed pull can be seen, and the next one works.
    fn clean_after(&self) {
        assert_eq!(self.lab.store.list().expect("list"), []);
        self.pull().expect("the next pull");
        self.check();
        assert_eq!(self.lab.files(), (3, 0));
    }
}

#[test]
fn a_blob_goes_on_where_the_connection_broke() {
    for fault in [Fault::Cut(300_000), Fault::Reset(300_000), Fault::Stall(300_000)] {
        let bench = Bench::new();
        bench.server.faults(&bench.layer, [fault.clone()]);
        bench.pull().unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        bench.check();
        let ranges = bench.ranges();
        assert_eq!((ranges.len(), ranges[0]), (2, None), "{fault:?}");
        // A reset may lose what was on its way.
        assert!(
            ranges[1].is_some_and(|start| start <= 300_000) || matches!(fault, Fault::Reset(_)),
            "{ranges:?}"
        );
    }
}

#[test]
fn the_next_pull_goes_on_where_a_failed_one_ended() {
    let bench = Bench::new();
    bench.server.faults(&bench.layer, vec![Fault::Cut(200_000), Fault::Status(404)]);
    bench.pull().expect_err("half a blob");
    bench.pull().expect("the rest");
    bench.check();
    assert_eq!(bench.ranges(), [None, Some(200_000), Some(200_000)]);
    assert_eq!(bench.lab.files(), (3, 0));
    // Half a blob that is something else is noticed, and gone the next time.
    let bench = Bench::new();
    bench.server.faults(&bench.layer, vec![Fault::Cut(200_000), Fault::Status(404)]);
    bench.pull().expect_err("half a blob");
    let tmp = bench.lab.store.root().join("tmp");
    let partial = std::fs::read_dir(&tmp).expect("list").next().expect("a part").expect("entry").path();
    std::fs::write(&partial, vec![1; 100_000]).expect("written");
    bench.lab.store.collect_garbage().expect("garbage");
    assert!(partial.exists(), "it is fresh");
    let error = bench.pull().expect_err("something else");
    assert!(matches!(error, PullError::Store(StoreError::Content { .. })), "{error:?}");
    bench.clean_after();
    // Who cleans up on purpose wants the space.
    let bench = Bench::new();
    bench.server.faults(&bench.layer, vec![Fault::Cut(200_000), Fault::Status(404)]);
    bench.pull().expect_err("half a blob");
    bench.lab.store.collect_all_garbage().expect("garbage");
    assert_eq!(bench.lab.files(), (0, 0));
}

#[test]
fn ranges_may_be_ignored_but_not_be_wrong() {
    let bench = Bench::new();
    bench.server.faults(&bench.layer, [Fault::Cut(300_000), Fault::IgnoreRange]);
    bench.pull().expect("pulled");
    bench.check();
    let bench = Bench::new();
    bench.server.faults(&bench.layer, [Fault::Cut(300_000), Fault::WrongRange]);
    let error = bench.pull().expect_err("a wrong part");
    assert!(matches!(error, PullError::Registry(RegistryError::Lie { .. })), "{error:?}");
    bench.clean_after();
}

#[test]
fn a_server_that_never_gets_better_is_given_up() {
    for fault in [Fault::Cut(1000), Fault::Status(500)] {
        let bench = Bench::new();
        bench.server.faults(&bench.layer, vec![fault; 100]);
        bench.pull().expect_err("given up");
        assert_eq!(bench.ranges().len(), 4);
        assert_eq!(bench.lab.store.list().expect("list"), []);
    }
}

#[test]
fn trouble_that_passes_is_waited_for() {
    let bench = Bench::new();
    bench.server.faults("manifests", [Fault::Status(503), Fault::Status(500)]);
    bench.server.faults(&bench.layer, [Fault::Status(429), Fault::Status(502)]);
    bench.pull().expect("pulled");
    bench.check();
    assert_eq!(bench.ranges().len(), 3);
}

#[test]
fn a_registry_that_has_too_much_to_do_is_left_alone_for_longer_and_longer() {
    let bench = Bench::new();
    bench.server.faults("manifests", [Fault::Status(429), Fault::Status(429), Fault::Status(503)]);
    let retries = Retries::default();
    bench.lab.pull_watched(&bench.registry, &bench.server.name(), &retries).expect("pulled");
    bench.check();
    // How long the registry would like (`Retry-After`) is not known here.
    let retries = retries.0.into_inner().expect("retries");
    let texts: Vec<_> = retries.iter().map(|(text, _)| text.as_str()).collect();
    assert!(
        texts[0].contains("429") && texts[1].contains("not now") && texts[2].contains("503"),
        "{texts:?}"
    );
    assert!(retries.is_sorted_by(|a, b| a.1 < b.1), "{retries:?}");
    let bench = Bench::new();
    bench.server.faults("manifests", vec![Fault::Status(429); 10]);
    let error = bench.pull().expect_err("no patience left").to_string();
    assert!(error.contains("429") && error.contains("not now"), "{error}");
    assert_eq!(bench.server.asked("manifests").len(), 4);
}

#[test]
fn wrong_content_is_never_stored() {
    let bench = Bench::new();
    bench.server.faults(&bench.layer, [Fault::Forge]);
    let error = bench.pull().expect_err("forged");
    assert!(matches!(error, PullError::Store(StoreError::Content { .. })), "{error:?}");
    bench.clean_after();
    for announced in [true, false] {
        let bench = Bench::new();
        bench.server.faults(&bench.layer, [Fault::Longer { by: 1000, announced }]);
        // What nobody announced and nobody reads does no harm.
        assert_eq!(bench.pull().is_err(), announced);
        if announced {
            bench.clean_after();
        }
        bench.check();
    }
}

#[test]
fn a_forged_manifest_is_noticed() {
    let bench = Bench::new();
    let image = bench.lab.path("layout");
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(image.join("index.json")).expect("index")).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    bench.server.replace(&format!("/v2/app/manifests/{digest}"), "application/json", b"{}");
    let name = bench.server.name().replace(":v1", &format!("@{digest}"));
    let error = bench.lab.pull(&bench.registry, &name).expect_err("forged");
    assert!(matches!(error, PullError::Registry(RegistryError::Lie { .. })), "{error:?}");
}

#[test]
fn documents_that_are_no_images_are_refused() {
    for (body, expected) in [
        ("not JSON".to_owned(), "not a valid document"),
        ("[]".to_owned(), "not a valid document"),
        (r#"{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+json"}"#.to_owned(), "not a container image"),
        (r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,
            "platform":{"os":"windows","architecture":"amd64"}}]}"#.to_owned(), "only for windows/amd64"),
        (format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":5}}}}"#, Digest::of(b"x")), "has no app@sha256"),
    ] {
        let bench = Bench::new();
        bench.server.replace("/v2/app/manifests/v1", "application/json", body.as_bytes());
        let error = bench.pull().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn foreign_layers_are_refused_by_their_type_before_anything_is_fetched() {
    let bench = Bench::new();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.lab.path("layout/index.json")).expect("index"))
            .expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest").replace("sha256:", "");
    let manifest =
        std::fs::read_to_string(bench.lab.path("layout/blobs/sha256").join(digest)).expect("manifest");
    let manifest =
        manifest.replace("vnd.oci.image.layer.v1.tar+gzip", "vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    bench.server.replace(
        "/v2/app/manifests/v1",
        "application/vnd.oci.image.manifest.v1+json",
        manifest.as_bytes(),
    );
    let error = bench.pull().expect_err("foreign");
    assert!(
        matches!(&error, PullError::Unfit(Unfit::ForeignLayer { media_type, .. }) if media_type.contains("foreign")),
        "{error:?}"
    );
    assert_eq!(bench.ranges(), []);
}
