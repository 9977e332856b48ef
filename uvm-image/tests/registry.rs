//! `uvm-build build --pull`: from a real registry, and from a server that misbehaves.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use serde_json::{Value, json};

#[path = "../src/linuxkit/tests/attest.rs"]
mod attest;
// The library's own tests pull from these as well.
#[allow(dead_code)]
#[path = "../../libs/oci/tests/registry/hub.rs"]
mod hub;
#[allow(dead_code)]
#[path = "../../libs/oci/tests/registry/server.rs"]
mod server;

use attest::attest;
use hub::{Hub, PASSWORD, USER, noise};
use server::{Fault, Server};

/// A directory with a layout of one image, whose only layer has half a megabyte.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = LayerBuilder::new();
        layer.directory("bin", 0o755).file("bin/x", 0o755, &noise(500_000, 3));
        let platform = "linux/amd64".parse().unwrap();
        let image =
            ImageBuilder::new("app".parse().unwrap()).platform(platform).layer(layer, Compression::Gzip);
        image.write_layout(&dir.path().join("layout")).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of the layer's blob at a registry.
    fn layer(&self) -> String {
        let blobs = fs::read_dir(self.path().join("layout/blobs/sha256")).unwrap().map(Result::unwrap);
        let layer = blobs.max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
        format!("blobs/sha256:{}", layer.file_name().to_string_lossy())
    }

    /// Digest of the layer's blob.
    fn digest(&self) -> String {
        self.layer().replace("blobs/", "")
    }

    /// The next builds know an account at `registry`.
    fn login(&self, registry: &str, user: &str, password: &str) {
        let account = format!(r#"{{"username": "{user}", "password": "{password}"}}"#);
        fs::write(self.path().join("config.json"), format!(r#"{{"auths": {{"{registry}": {account}}}}}"#))
            .unwrap();
    }

    /// Builds a root of the image called `name`, which is pulled.
    fn build(&self, name: &str) -> Output {
        self.command(name, &["--pull", "--progress", "plain"]).output().unwrap()
    }

    /// The command that builds such a root.
    fn command(&self, name: &str, more: &[&str]) -> Command {
        fs::write(self.path().join("x.yml"), format!("init: [\"{name}\"]\n")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_uvm-build"));
        command.args(["build", "x.yml", "-f", "tar"]).args(more).current_dir(self.path());
        command.env("LCOW_CACHE", self.path().join("kept")).env("DOCKER_CONFIG", self.path());
        command.env_remove("LINUXKIT_CACHE").env_remove("LINUXKIT_MIRROR");
        command
    }

    /// It succeeds; gives what it said.
    fn built(&self, name: &str) -> String {
        let output = self.build(name);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let tar =
            Command::new("tar").arg("-xOf").arg(self.path().join("x.tar")).arg("bin/x").output().unwrap();
        assert!(tar.stdout == noise(500_000, 3), "{}", text(&tar.stderr));
        fs::remove_file(self.path().join("x.tar")).unwrap();
        text(&output.stderr)
    }

    /// It fails with these words, and leaves no output.
    fn refused(&self, name: &str, words: &[&str]) {
        let output = self.build(name);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!self.path().join("x.tar").exists());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn images_come_from_a_registry_with_and_without_accounts() {
    for account in [false, true] {
        let Some(hub) = Hub::start(account) else { return };
        let bench = Bench::new();
        hub.push(&bench.path().join("layout"), "latest", "me/app:v1");
        let name = hub.name("me/app:v1");
        if account {
            bench.refused(&name, &["denies", "docker login"]);
            bench.login(hub.address(), USER, "wrong");
            bench.refused(&name, &["denies", "docker login"]);
            bench.login(hub.address(), USER, PASSWORD);
        }
        bench.built(&name);
        bench.refused(&hub.name("me/app:v2"), &["has no me/app:v2"]);
    }
}

#[test]
fn what_a_registry_has_lost_or_mixed_up_is_noticed() {
    for account in [false, true] {
        let Some(hub) = Hub::start(account) else { return };
        let bench = Bench::new();
        bench.login(hub.address(), USER, PASSWORD);
        hub.push(&bench.path().join("layout"), "latest", "me/app:v1");
        let (name, digest) = (hub.name("me/app:v1"), bench.digest());
        let mut whole = Vec::new();
        hub.damage(&digest, |blob| {
            whole.clone_from(blob);
            blob[1000] ^= 1;
        });
        bench.refused(&name, &["cannot pull", &digest]);
        hub.damage(&digest, |blob| blob.truncate(100_000));
        bench.refused(&name, &["cannot pull", &digest, "100000 bytes, not"]);
        hub.damage(&digest, |blob| *blob = whole);
        bench.built(&name);
    }
}

#[test]
fn what_is_truncated_or_delayed_is_fetched_in_the_end() {
    let bench = Bench::new();
    let server = Server::start(&bench.path().join("layout"));
    server.faults("manifests", [Fault::Status(429)]);
    server.faults(&bench.layer(), [Fault::Status(500), Fault::Cut(200_000)]);
    let said = bench.built(&server.name());
    assert_eq!(said.matches("trying again in").count(), 3, "{said}");
    let ranges: Vec<_> = server.asked(&bench.layer()).into_iter().map(|asked| asked.range).collect();
    assert_eq!(ranges, [None, None, Some(200_000)]);
}

#[test]
fn a_wrong_digest_is_an_error_and_nothing_of_it_stays() {
    let bench = Bench::new();
    let server = Server::start(&bench.path().join("layout"));
    server.faults(&bench.layer(), [Fault::Forge]);
    let digest = bench.digest();
    bench.refused(&server.name(), &["cannot pull", &digest]);
    let stored = bench.path().join("kept/uvm-build/images/blobs/sha256").join(digest.replace("sha256:", ""));
    assert!(!stored.exists());
    bench.built(&server.name());
}

#[test]
fn what_was_attested_of_pulled_images_is_listed() {
    for account in [false, true] {
        let Some(hub) = Hub::start(account) else { return };
        let bench = Bench::new();
        let layout = bench.path().join("layout");
        attest(
            &layout,
            "docker.io/library/app:latest",
            &json!({"packages": [{"SPDXID": "SPDXRef-m", "name": "musl"}]}),
        );
        hub.push(&layout, "latest", "me/app:v1");
        bench.login(hub.address(), USER, PASSWORD);
        let name = hub.name("me/app:v1");
        let listed = |more: &[&str]| {
            let output = bench.command(&name, more).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            let tar = bench.path().join("x.tar");
            let sbom =
                Command::new("tar").arg("-xOf").arg(tar).arg("sbom.spdx.json").output().unwrap().stdout;
            let document: Value = serde_json::from_slice(&sbom).unwrap();
            assert_eq!(document["packages"][1]["name"], "musl", "{}", text(&output.stderr));
            (sbom, text(&output.stderr))
        };
        let (pulled, said) = listed(&["--pull"]);
        assert!(!said.contains("was attested"), "{said}");
        assert_eq!(listed(&[]).0, pulled, "the same from what is kept");
    }
}

#[test]
fn an_attestation_that_is_not_what_it_should_be_is_an_error() {
    let bench = Bench::new();
    let layout = bench.path().join("layout");
    attest(&layout, "docker.io/library/app:latest", &json!({"packages": []}));
    let Some(hub) = Hub::start(false) else { return };
    hub.push(&layout, "latest", "me/app:v1");
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(Result::unwrap);
    let is_statement = |blob: &fs::DirEntry| text(&fs::read(blob.path()).unwrap()).contains("predicateType");
    let statement = blobs.into_iter().find(is_statement).unwrap().file_name();
    let digest = format!("sha256:{}", statement.to_string_lossy());
    hub.damage(&digest, |blob| blob[20] ^= 1);
    let name = hub.name("me/app:v1");
    bench.refused(&name, &["cannot pull", &digest]);
    let output = bench.command(&name, &["--pull", "--no-sbom"]).output().unwrap();
    assert!(output.status.success(), "nobody asked for it: {}", text(&output.stderr));
}
