//! The list of what is in the result.

use std::path::Path;

use lcow_oci::Digest;
use lcow_oci::model::{Descriptor, Index, REF_NAME, media};
use serde_json::{Value, json};

use super::*;

fn blob(cache: &Path, media_type: &str, value: &Value) -> Descriptor {
    let bytes = serde_json::to_vec(value).unwrap();
    let digest = Digest::of(&bytes);
    fs::write(cache.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
    Descriptor::new(media_type, digest, bytes.len() as u64)
}

/// Puts an index about the image `i` into the cache, with what `BuildKit` says is in it.
fn attest(bench: &Bench, predicate: &Value) {
    let cache = bench.dir.path().join("cache");
    let index: Index = serde_json::from_slice(&fs::read(cache.join("index.json")).unwrap()).unwrap();
    let (mut rest, mut image) = (Vec::new(), None);
    for one in index.manifests {
        let is_it = one.annotations.values().any(|name| name == "docker.io/library/i:latest");
        if is_it { image = Some(one) } else { rest.push(one) }
    }
    let mut image = image.unwrap();
    image.annotations.clear();
    let statement = json!({"predicateType": "https://spdx.dev/Document", "predicate": predicate});
    let mut layer = blob(&cache, "application/vnd.in-toto+json", &statement);
    let predicate_type = ("in-toto.io/predicate-type".to_owned(), "https://spdx.dev/Document".to_owned());
    layer.annotations.extend([predicate_type]);
    let config = blob(&cache, media::CONFIG, &json!({}));
    let manifest =
        blob(&cache, media::MANIFEST, &json!({"schemaVersion": 2, "config": config, "layers": [layer]}));
    let mut about = manifest;
    about.annotations.insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    about.annotations.insert("vnd.docker.reference.digest".into(), image.digest.to_string());
    about.platform = Some(Platform { os: "unknown".into(), architecture: "unknown".into(), variant: None });
    let inner = Index { manifests: vec![image, about], ..Index::default() };
    let mut outer = blob(&cache, media::INDEX, &serde_json::to_value(inner).unwrap());
    outer.annotations.insert(REF_NAME.to_owned(), "docker.io/library/i:latest".to_owned());
    rest.push(outer);
    let index = Index { manifests: rest, ..Index::default() };
    fs::write(cache.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
}

fn names(document: &[u8]) -> Vec<String> {
    let document: Value = serde_json::from_slice(document).unwrap();
    let packages = document["packages"].as_array().unwrap();
    packages.iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_buildkit_attests_is_part_of_the_list() {
    let mut bench = Bench::new(vec![kernel(BOTH), image("i", vec![files(&[("opt/x", b"x")])])]);
    bench.sbom = true;
    attest(
        &bench,
        &json!({"packages": [{"SPDXID": "SPDXRef-musl", "name": "musl", "versionInfo": "1.2.5"}]}),
    );
    let text = "kernel: {image: k, tar: none}\ninit: [i]\n";
    bench.build(text, &["lcow", "tar"]).unwrap();
    let tar = entries(&bench.read("x.tar"));
    let (last, inside) = tar.last().unwrap();
    assert_eq!((&last.path[..], last.mode), (&b"sbom.spdx.json"[..], 0o644));
    let images = ["docker.io/library/k:latest", "docker.io/library/i:latest", "musl"];
    assert_eq!(names(inside), images);
    let beside = bench.read("sbom.spdx.json");
    assert_eq!(names(&beside), [&["linux", "guest-agent"][..], &images].concat());
    let sums = String::from_utf8(bench.read("SHA256SUMS")).unwrap();
    assert!(sums.contains(&format!("{}  sbom.spdx.json", Digest::of(&beside).hex())));
    bench.build(text, &["lcow"]).unwrap();
    assert_eq!(bench.read("sbom.spdx.json"), beside);
}

#[test]
fn a_damaged_attestation_is_told() {
    let bench = Bench::new(vec![image("i", vec![files(&[("opt/x", b"x")])])]);
    attest(&bench, &json!({"packages": [{"name": "odd"}]}));
    let blobs = bench.dir.path().join("cache/blobs/sha256");
    for entry in fs::read_dir(blobs).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        if String::from_utf8_lossy(&bytes).contains("\"odd\"") {
            fs::write(entry.path(), "{}").unwrap();
        }
    }
    let error = bench.fails("init: [i]\n", &["tar"]);
    assert!(error.contains("cannot read what was attested of"), "{error}");
}
