//! `uvm-build build` as people call it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};

fn uvm_build(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uvm-build"))
        .arg("build")
        .args(words)
        .current_dir(dir)
        .env("LCOW_CACHE", dir.join("kept"))
        .env_remove("LINUXKIT_CACHE")
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_same_description_gives_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new();
    layer.file("bin/x", 0o755, b"x");
    let platform = lcow_oci::Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    let image = ImageBuilder::new("x".parse().unwrap()).platform(platform).layer(layer, Compression::Zstd);
    image.write_layout(&dir.path().join("cache")).unwrap();
    fs::write(dir.path().join("one.yml"), "init: [x]\n").unwrap();
    fs::write(dir.path().join("two.yml"), "files: [{path: a, contents: b}]\n").unwrap();
    for to in ["1", "2"] {
        let output = uvm_build(
            dir.path(),
            &["one.yml", "two.yml", "-o", to, "-f", "tar", "-f", "kernel+initrd", "--cache", "cache"],
        );
        assert!(output.status.success(), "{}", text(&output.stderr));
        // Now it is kept.
        let _ = fs::rename(dir.path().join("cache/index.json"), dir.path().join("cache/gone.json"));
        fs::write(dir.path().join("cache/index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    }
    for name in ["two.tar", "two-initrd.img"] {
        let read = |to: &str| fs::read(dir.path().join(to).join(name)).unwrap();
        assert!(read("1") == read("2"), "{name}");
    }
    let tar = dir.path().join("1/two.tar");
    let sbom = Command::new("tar").args(["-xOf"]).arg(tar).arg("sbom.spdx.json").output().unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&sbom.stdout).unwrap();
    assert_eq!(sbom["packages"][0]["name"], "docker.io/library/x:latest");
    assert!(sbom["documentNamespace"].as_str().unwrap().len() > 64);
}

#[test]
fn descriptions_are_printed_or_found_wanting() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yml"), "init: [a]\n").unwrap();
    fs::write(dir.path().join("b.yml"), "init: [b/c]\n").unwrap();
    let output = uvm_build(dir.path(), &["a.yml", "b.yml", "--dry-run"]);
    let printed = text(&output.stdout);
    assert!(
        printed.contains("docker.io/library/a:latest") && printed.contains("docker.io/b/c:latest"),
        "{printed}"
    );
    fs::write(dir.path().join("bad.yml"), "init: []\nfiles:\n  - path: a\n    mode: 0666\n    foo: 1\n")
        .unwrap();
    let output = uvm_build(dir.path(), &["bad.yml", "-f", "tar"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("bad.yml:4:11: files.0.mode: Invalid type. Expected: string, given: integer"),
        "{said}"
    );
    assert!(said.contains("bad.yml:5:5: files.0: Additional property foo is not allowed"), "{said}");
    assert!(!dir.path().join("bad.tar").exists());
    let said = text(&uvm_build(dir.path(), &["a.yml", "-f", "iso-efi"]).stderr);
    assert!(said.contains("there is no format iso-efi"), "{said}");
}
