//! Layers that are used while they come.
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::sync::Mutex;

use lcow_oci::layer::LayerReader;
use lcow_oci::model::ImageConfig;
use lcow_oci::registry::{LayerSink, PullError, Quiet, Registry, Request, pull};
use lcow_oci::{Digest, Platform};

use crate::server::{Fault, Server};
use crate::support::{Lab, hasty, image, reference};

/// Keeps what it gets.
#[derive(Default)]
struct Keeper<'a> {
    layers: Mutex<BTreeMap<Digest, Vec<u8>>>,
    /// Bytes of a layer after which it has had enough.
    enough: Option<usize>,
    fails: bool,
    /// Done right before a layer is fetched.
    before: Option<&'a (dyn Fn() + Sync)>,
}

impl LayerSink for Keeper<'_> {
    fn wants(&self, _: &ImageConfig, _: &Digest) -> bool {
        if let Some(before) = self.before {
            before();
        }
        true
    }

    fn layer(&self, diff_id: &Digest, mut tar: LayerReader) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut bytes = Vec::new();
        match self.enough {
            Some(enough) => (&mut tar).take(enough as u64).read_to_end(&mut bytes)?,
            None => tar.read_to_end(&mut bytes)?,
        };
        if self.fails {
            return Err("no room".into());
        }
        self.layers.lock().expect("layers").insert(*diff_id, bytes);
        Ok(())
    }
}

struct Bench {
    lab: Lab,
    server: Server,
}

impl Bench {
    fn new() -> Self {
        let lab = Lab::new();
        image("app").write_layout(&lab.path("layout")).expect("layout");
        let server = Server::start(&lab.path("layout"));
        Self { lab, server }
    }

    fn pull(&self, sink: &Keeper<'_>) -> Result<(), PullError> {
        let reference = reference(&self.server.name());
        let request = Request { reference: &reference, platform: Platform::host() };
        pull(&self.lab.store, &Registry::new(hasty()), &request, &Quiet, Some(sink)).map(drop)
    }

    fn config(&self) -> ImageConfig {
        self.lab.store.get(&reference(&self.server.name())).expect("image").config
    }
}

#[test]
fn a_sink_gets_every_layer_unpacked_and_whole() {
    let bench = Bench::new();
    bench.server.faults("blobs", [Fault::Cut(100_000), Fault::Cut(5000)]);
    let sink = Keeper::default();
    bench.pull(&sink).expect("pulled");
    let layers = sink.layers.into_inner().expect("layers");
    assert_eq!(layers.len(), 3);
    for diff_id in bench.config().rootfs.diff_ids {
        assert_eq!(Digest::of(&layers[&diff_id]), diff_id);
    }
}

#[test]
fn a_sink_may_have_had_enough_but_its_failure_is_the_pulls() {
    let bench = Bench::new();
    bench.pull(&Keeper { enough: Some(1000), ..Keeper::default() }).expect("pulled");
    let bench = Bench::new();
    let error = bench.pull(&Keeper { fails: true, ..Keeper::default() }).expect_err("fails");
    assert!(matches!(error, PullError::Sink { .. }), "{error:?}");
    assert_eq!(bench.lab.store.list().expect("list"), []);
    bench.pull(&Keeper::default()).expect("the next pull");
}

#[test]
fn a_layer_that_somebody_else_stores_meanwhile_is_no_failure() {
    let bench = Bench::new();
    let store = || {
        let held = bench.lab.store.ingest().expect("ingest");
        for entry in std::fs::read_dir(bench.lab.path("layout/blobs/sha256")).expect("blobs") {
            let bytes = std::fs::read(entry.expect("entry").path()).expect("blob");
            bench.lab.store.add(&bytes[..], &Digest::of(&bytes), bytes.len() as u64, &held).expect("stored");
        }
    };
    bench.pull(&Keeper { before: Some(&store), ..Keeper::default() }).expect("pulled");
}
