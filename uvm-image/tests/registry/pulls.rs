//! What is pulled is what was pushed, or an error.

use std::fs;
use std::process::Command;

use lcow_oci::Digest;
use serde_json::{Value, json};

use crate::attest::attest;
use crate::bench::{Bench, text};
use crate::hub::{Hub, PASSWORD, USER};
use crate::server::{Fault, Server};

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

#[test]
fn mirrors_are_asked_first_and_by_the_images_own_name() {
    let Some(hub) = Hub::start(false) else { return };
    let bench = Bench::new();
    hub.push(&bench.path().join("layout"), "latest", "me/app:v1");
    // A registry that nobody reaches: what is built comes from the mirror.
    let mirror = format!("127.0.0.1:1=http://{}", hub.address());
    let name = "127.0.0.1:1/me/app:v1";
    for by_variable in [false, true] {
        let mut command = bench.command(name, &["--pull"]);
        if by_variable {
            command.env("LINUXKIT_MIRROR", &mirror);
        } else {
            command.args(["--mirror", &mirror]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(name), "{}", text(&output.stderr));
        fs::remove_dir_all(bench.path().join("kept")).unwrap();
    }
    let output = bench.command(name, &["--pull"]).output().unwrap();
    assert!(text(&output.stderr).contains("cannot pull 127.0.0.1:1/me/app:v1"), "{}", text(&output.stderr));
}

#[test]
fn a_list_that_is_too_large_is_left_alone() {
    let bench = Bench::new();
    let layout = bench.path().join("layout");
    attest(&layout, "docker.io/library/app:latest", &json!({"packages": []}));
    let blob = |digest: &Value| {
        let name = digest.as_str().unwrap().replace("sha256:", "");
        fs::read(layout.join("blobs/sha256").join(name)).unwrap()
    };
    let json = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
    let server = Server::start(&layout);
    let put = |name: &str, document: &[u8]| {
        let kind = json(document)["mediaType"].as_str().unwrap().to_owned();
        server.replace(&format!("/v2/app/manifests/{name}"), &kind, document);
    };
    let bytes = |document: &Value| serde_json::to_vec(document).unwrap();
    let digest_of = |document: &Value| Digest::of(&bytes(document)).to_string();
    // The same documents, but for the length that is promised.
    let mut index =
        json(&blob(&json(&fs::read(layout.join("index.json")).unwrap())["manifests"][0]["digest"]));
    let mut about = json(&blob(&index["manifests"][1]["digest"]));
    about["layers"][0]["size"] = (65_u64 << 20).into();
    index["manifests"][1]["digest"] = digest_of(&about).into();
    let image = &index["manifests"][0]["digest"];
    put(image.as_str().unwrap(), &blob(image));
    put(&digest_of(&about), &bytes(&about));
    put(&digest_of(&index), &bytes(&index));
    put("v1", &bytes(&index));
    let said = bench.built(&server.name());
    assert!(said.contains("not in sbom.spdx.json: no list of them was attested"), "{said}");
    assert_eq!(server.asked(&digest_of(&about)).len(), 1);
    assert_eq!(server.asked(about["layers"][0]["digest"].as_str().unwrap()), []);
}
