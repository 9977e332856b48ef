//! `uvm-build build` as people call it.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use support::uvm_build;

fn build(dir: &Path, words: &[&str]) -> Output {
    uvm_build(dir).arg("build").args(words).output().unwrap()
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
        let output = build(
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
fn a_damaged_output_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x.yml"), "files: [{path: a, contents: b}]\n").unwrap();
    let output = build(dir.path(), &["x.yml", "-o", "out", "-f", "tar", "-f", "kernel+initrd"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = |words: &[&str]| uvm_build(dir.path()).args(words).output().unwrap();
    for path in ["out", "out/x.tar", "out/x-initrd.img"] {
        assert!(run(&["inspect", path]).status.success(), "{path}");
    }
    // In the file's content, where no format has a sum of its own.
    let path = dir.path().join("out/x.tar");
    let mut tar = fs::read(&path).unwrap();
    let at = tar.windows(2).position(|window| window == b"b\0").unwrap();
    tar[at] = b'c';
    fs::write(&path, tar).unwrap();
    for words in [["inspect", "out"], ["inspect", "out/x.tar"], ["check", "out"]] {
        let output = run(&words);
        let said = text(&output.stdout) + &text(&output.stderr);
        let expected = "out/x.tar is not what was built: its SHA-256 differs from the one in x-SHA256SUMS";
        assert!(said.contains(expected) && output.status.code() == Some(1), "{words:?}: {said}");
    }
    assert!(run(&["inspect", "out/x-initrd.img"]).status.success());
}

#[test]
fn descriptions_are_printed_or_found_wanting() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yml"), "init: [a]\n").unwrap();
    fs::write(dir.path().join("b.yml"), "init: [b/c]\n").unwrap();
    let output = build(dir.path(), &["a.yml", "b.yml", "--dry-run"]);
    let printed = text(&output.stdout);
    assert!(
        printed.contains("docker.io/library/a:latest") && printed.contains("docker.io/b/c:latest"),
        "{printed}"
    );
    fs::write(dir.path().join("bad.yml"), "init: []\nfiles:\n  - path: a\n    mode: 0666\n    foo: 1\n")
        .unwrap();
    let output = build(dir.path(), &["bad.yml", "-f", "tar"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("bad.yml:4:11: files.0.mode: Invalid type. Expected: string, given: integer"),
        "{said}"
    );
    assert!(said.contains("bad.yml:5:5: files.0: Additional property foo is not allowed"), "{said}");
    assert!(!dir.path().join("bad.tar").exists());
    let said = text(&build(dir.path(), &["a.yml", "-f", "iso-efi"]).stderr);
    assert!(said.contains("there is no format iso-efi"), "{said}");
}

/// A cache with an image whose files come from `layer`, and the description `x.yml` of it.
#[cfg(unix)]
fn described(dir: &Path, layer: LayerBuilder, text: &str) {
    let platform = lcow_oci::Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    let image = ImageBuilder::new("x".parse().unwrap()).platform(platform).layer(layer, Compression::Gzip);
    image.write_layout(&dir.join("cache")).unwrap();
    fs::write(dir.join("x.yml"), text).unwrap();
}

#[cfg(unix)]
#[test]
fn an_interrupted_build_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new();
    layer.file("large", 0o644, &vec![7; 32 << 20]);
    // A pipe nobody has written to: the build has unpacked the image and waits when the signal comes.
    described(dir.path(), layer, "init: [x]\nfiles: [{path: a, source: pipe}]\n");
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    fs::create_dir(dir.path().join("tmp")).unwrap();
    let mut build = uvm_build(dir.path())
        .args(["build", "x.yml", "-o", "out", "-f", "tar", "-f", "kernel+initrd", "--cache", "cache"])
        .env("TMPDIR", dir.path().join("tmp"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Opening waits until the build has opened the other end.
    let pipe = fs::File::options().write(true).open(dir.path().join("pipe")).unwrap();
    let count = |name: &str| fs::read_dir(dir.path().join(name)).map_or(0, Iterator::count);
    assert!(count("tmp") > 0, "nothing to leave behind");
    assert!(Command::new("kill").args(["-INT", &build.id().to_string()]).status().unwrap().success());
    let status = build.wait().unwrap();
    drop(pipe);
    assert_eq!(status.code(), Some(130));
    let mut said = String::new();
    std::io::Read::read_to_string(build.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!((count("tmp"), count("out"), &said[..]), (0, 0, ""));
    let names = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.starts_with("x-") && !name.starts_with(".uvm-build")));
}

#[cfg(unix)]
#[test]
fn progress_is_for_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new();
    layer.file("bin/x", 0o755, &[1; 5000]);
    described(
        dir.path(),
        layer,
        "init: [x]\nfiles: [{path: etc/key, source: \"~/key\"}, {path: etc/no, source: \"~/no\", optional: true}]\n",
    );
    fs::write(dir.path().join("key"), "secret").unwrap();
    let said = |style: &str| {
        let output = uvm_build(dir.path())
            .args(["build", "x.yml", "-f", "tar", "--cache", "cache", "--progress", style])
            .env("HOME", dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let json: Vec<serde_json::Value> =
        said("json").lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let unpacked = json.iter().find(|line| line["task"] == "unpacking" && line["finished"] == true).unwrap();
    assert!(unpacked["done"].as_u64().unwrap() > 5000);
    assert!(said("plain").contains("unpacking …\n"));
    let quiet = said("auto");
    assert!(
        !quiet.contains("unpacking") && quiet.contains("in the root: docker.io/library/x:latest"),
        "{quiet}"
    );
    assert_eq!(said("none"), quiet);
    let list = Command::new("tar").arg("-tf").arg(dir.path().join("x.tar")).output().unwrap();
    assert!(text(&list.stdout).contains("etc/key\n") && !text(&list.stdout).contains("etc/no"));
}

#[test]
fn what_linuxkit_has_and_we_do_not_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yml"), "init: []\n").unwrap();
    fs::write(dir.path().join("empty.yml"), "").unwrap();
    for (words, expected) in [
        (&["a.yml", "--input-tar", "old.tar"][..], "--input-tar is LinuxKit's"),
        (&["a.yml", "--docker"], "--cache takes what `docker save` writes"),
        (&["a.yml", "--size", "1024M"], "disks are as large as what is in them"),
        (&["a.yml", "--o", "-"], "-o DIR"),
        (&["a.yml", "--sbom-current-time"], "equal inputs give equal bytes"),
        (&["a.yml", "--sbom-output", "x"], "beside the boot files"),
        (&["https://example.com/a.yml"], "descriptions are not fetched"),
        (&["a.yml", "-f", "qcow2-bios"], "there is no format qcow2-bios"),
        (&["a.yml", "--arch", "s390x", "-f", "tar"], "there is no architecture s390x"),
        (&["empty.yml", "-f", "tar"], "empty.yml"),
    ] {
        let output = build(dir.path(), words);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{words:?}: {said}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "something was written");
}

#[cfg(unix)]
#[test]
fn files_of_the_machine_are_relative_to_where_one_stands() {
    // As in containerd-debug: a program's settings come from a file beside the one who builds, not beside the description.
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new();
    layer.file("usr/bin/containerd", 0o755, b"#!");
    described(dir.path(), layer, "");
    fs::create_dir(dir.path().join("descriptions")).unwrap();
    let description = "init: [x]\nfiles: [{path: etc/containerd/runtime-config.toml, source: config.toml, mode: \"0644\"}]\n";
    fs::write(dir.path().join("descriptions/containerd-debug.yml"), description).unwrap();
    fs::write(dir.path().join("config.toml"), "level = \"debug\"\n").unwrap();
    fs::write(dir.path().join("descriptions/config.toml"), "not this one").unwrap();
    let words = ["descriptions/containerd-debug.yml", "-f", "tar", "--cache", "cache", "--no-sbom"];
    let output = build(dir.path(), &words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let tar = |words: &[&str]| {
        let output =
            Command::new("tar").args(words).arg("containerd-debug.tar").current_dir(dir.path()).output();
        text(&output.unwrap().stdout)
    };
    let lines: Vec<String> = tar(&["--numeric-owner", "--utc", "-tvf"])
        .lines()
        .map(|line| {
            line.split_whitespace()
                .enumerate()
                .filter(|(at, _)| *at != 2)
                .map(|(_, word)| word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    // What the image has keeps its time; everything else is of LinuxKit's.
    let made = |line: &str| line.replace("TIME", "2017-04-18 16:30");
    let program = lines[2].clone();
    let mut expected = ["drwxr-xr-x 0/0 TIME usr", "drwxr-xr-x 0/0 TIME usr/bin"].map(made).to_vec();
    expected.push(program.clone());
    expected.extend(
        [
            "drwxr-xr-x 0/0 TIME dev",
            "drwxr-xr-x 0/0 TIME dev/pts",
            "drwxr-xr-x 0/0 TIME dev/shm",
            "drwxr-xr-x 0/0 TIME etc",
            "-rw-r--r-- 0/0 TIME etc/hosts",
            "lrwxrwxrwx 0/0 TIME etc/mtab -> /proc/mounts",
            "lrwxrwxrwx 0/0 TIME etc/resolv.conf -> /run/resolvconf/resolv.conf",
            "drwxr-xr-x 0/0 TIME proc",
            "drwxr-xr-x 0/0 TIME sys",
            "drwxr-xr-x 0/0 TIME etc/containerd",
            "-rw-r--r-- 0/0 TIME etc/containerd/runtime-config.toml",
        ]
        .map(made),
    );
    assert!(program.starts_with("-rwxr-xr-x 0/0") && program.ends_with(" usr/bin/containerd"), "{lines:#?}");
    assert_eq!(lines, expected);
    let config = Command::new("tar")
        .args(["-xOf", "containerd-debug.tar", "etc/containerd/runtime-config.toml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(text(&config.stdout), "level = \"debug\"\n");
    // Without it there is nothing, unless it may be missing.
    fs::remove_file(dir.path().join("config.toml")).unwrap();
    let said = text(&build(dir.path(), &words).stderr);
    assert!(said.contains("cannot read its source config.toml"), "{said}");
}

#[cfg(unix)]
#[test]
fn source_date_epoch_is_the_latest_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new();
    layer.file("bin/x", 0o755, b"x");
    described(dir.path(), layer, "init: [x]\nfiles: [{path: a, contents: b}]\n");
    let built = |epoch: &str| {
        let output = uvm_build(dir.path())
            .args(["build", "x.yml", "-f", "tar", "--cache", "cache"])
            .env("SOURCE_DATE_EPOCH", epoch)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let tar = |words: &[&str]| {
            text(&Command::new("tar").args(words).current_dir(dir.path()).output().unwrap().stdout)
        };
        let sbom: serde_json::Value =
            serde_json::from_str(&tar(&["-xOf", "x.tar", "sbom.spdx.json"])).unwrap();
        let bytes = fs::read(dir.path().join("x.tar")).unwrap();
        (tar(&["--utc", "--full-time", "-tvf", "x.tar"]), sbom, bytes)
    };
    let (early, mut early_sbom, bytes) = built("1000");
    assert!(
        early
            .lines()
            .all(|line| line.contains(" 1970-01-01 00:16:40 ") || line.contains(" 1970-01-01 00:00:00 ")),
        "{early}"
    );
    assert_eq!(early_sbom["creationInfo"]["created"], "1970-01-01T00:16:40Z");
    assert!(built("1000").2 == bytes, "the same time, other bytes");
    let (late, mut late_sbom, _) = built("2000000000");
    assert_eq!(early.replace("1970-01-01 00:16:40", "2017-04-18 16:30:00"), late);
    for sbom in [&mut early_sbom, &mut late_sbom] {
        sbom["creationInfo"]["created"].take();
        sbom["documentNamespace"].take();
    }
    assert_eq!(early_sbom, late_sbom);
}
