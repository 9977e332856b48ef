//! The list of what is in the result.

use lcow_oci::Digest;
use serde_json::{Value, json};

use super::attest::attest;
use super::*;

/// Puts an index about the image `i` into the cache, with what `BuildKit` says is in it.
fn attest_i(bench: &Bench, predicate: &Value) {
    attest(&bench.dir.path().join("cache"), "docker.io/library/i:latest", predicate);
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
    attest_i(
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
    let report = bench.build(text, &["lcow"]).unwrap();
    assert_eq!(bench.read("sbom.spdx.json"), beside);
    let unlisted = report.warnings.iter().find(|warning| warning.contains("no list of them was attested"));
    let unlisted = unlisted.expect("the kernel has none");
    assert!(unlisted.contains("/k:latest") && !unlisted.contains("/i:latest"), "{unlisted}");
    // The same once the images are kept and the cache is away.
    fs::remove_dir_all(bench.dir.path().join("cache")).unwrap();
    write_layout(&bench.dir.path().join("cache"), Vec::new()).unwrap();
    bench.build(text, &["lcow"]).unwrap();
    assert_eq!(bench.read("sbom.spdx.json"), beside);
}

#[test]
fn a_damaged_attestation_is_told() {
    let mut bench = Bench::new(vec![image("i", vec![files(&[("opt/x", b"x")])])]);
    bench.sbom = true;
    attest_i(&bench, &json!({"packages": [{"name": "odd"}]}));
    let blobs = bench.dir.path().join("cache/blobs/sha256");
    for entry in fs::read_dir(blobs).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        if String::from_utf8_lossy(&bytes).contains("\"odd\"") {
            fs::write(entry.path(), "{}").unwrap();
        }
    }
    let error = bench.fails("init: [i]\n", &["tar"]);
    assert!(error.contains("cannot read what was attested of"), "{error}");
    bench.sbom = false;
    bench.build("init: [i]\n", &["tar"]).unwrap();
}

#[test]
fn every_part_is_listed_once() {
    let mut bench = Bench::new(vec![kernel(BOTH)]);
    bench.sbom = true;
    let text = "kernel: {image: k, tar: none}\ninit: [k]\nservices: [{name: s, image: k}]\n";
    bench.build(text, &["lcow"]).unwrap();
    assert_eq!(names(&bench.read("sbom.spdx.json")), ["linux", "guest-agent", "docker.io/library/k:latest"]);
}
