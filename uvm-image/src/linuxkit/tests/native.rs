//! LinuxKit's own outputs, held against the order and the names of its documentation.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use lcow_oci::build::LayerBuilder;
use serde_json::{Value, json};

use super::*;

/// Everything that a root gets besides the image's own files.
fn usual(prefix: &str, resolver: &str) -> Vec<String> {
    [
        "d 0755 Pdev",
        "d 0755 Pdev/pts",
        "d 0755 Pdev/shm",
        "d 0755 Petc",
        "- 0644 Petc/hosts",
        "l 0777 Petc/mtab -> /proc/mounts",
        resolver,
        "d 0755 Pproc",
        "d 0755 Psys",
    ]
    .iter()
    .map(|line| line.replacen('P', prefix, 1))
    .collect()
}

const MACHINE: &str = "l 0777 Petc/resolv.conf -> /run/resolvconf/resolv.conf";
const CONTAINER: &str = "- 0644 Petc/resolv.conf";

#[test]
fn a_whole_description_comes_in_order() {
    let bench = Bench::new(vec![
        kernel(BOTH),
        image("i", vec![files(&[("x", b"x"), ("etc/hostname", b"no"), (".dockerenv", b"")])]),
        image("c", vec![files(&[("run", b"run")])]).run_config(labelled(r#"{"binds": ["/a:/a"]}"#)),
        image("r", vec![files(&[("ro", b"")])]),
    ]);
    let text = "
kernel: {image: k, cmdline: console=ttyS0, tar: none, ucode: ucode.cpio}
init: [i]
volumes: [{name: v}]
onboot:
  - {name: mount, image: c}
  - {name: mount, image: c, readonly: true, binds.add: [\"v:/v\"]}
services: [{name: s, image: r, readonly: true, uid: s}]
files:
  - {path: etc/linuxkit.yml, metadata: yaml}
  - {path: /opt/new/link, symlink: ../x}
";
    bench.build(text, &["tar"]).unwrap();
    let mut expected: Vec<String> = Vec::new();
    let mut add = |lines: &[&str]| expected.extend(lines.iter().map(|line| (*line).to_owned()));
    add(&["d 0755 boot", "- 0644 boot/cmdline", "- 0755 boot/kernel", "- 0644 boot/ucode.cpio", "- 0755 x"]);
    expected.extend(usual("", MACHINE));
    let mut add = |lines: &[&str]| expected.extend(lines.iter().map(|line| (*line).to_owned()));
    add(&["d 0755 containers", "d 0755 containers/volumes", "d 0755 containers/volumes/v"]);
    add(&[
        "d 0755 containers/volumes/v/lower",
        "d 0755 containers/volumes/v/tmp",
        "d 0755 containers/volumes/v/merged",
    ]);
    add(&[
        "d 0755 containers/onboot",
        "d 0755 containers/onboot/000-mount",
        "d 0755 containers/onboot/000-mount/lower",
    ]);
    add(&["- 0755 containers/onboot/000-mount/lower/run"]);
    expected.extend(usual("containers/onboot/000-mount/lower/", CONTAINER));
    let mut add = |lines: &[&str]| expected.extend(lines.iter().map(|line| (*line).to_owned()));
    add(&["d 0755 containers/onboot/000-mount/tmp", "d 0755 containers/onboot/000-mount/rootfs"]);
    add(&[
        "- 0644 containers/onboot/000-mount/config.json",
        "- 0644 containers/onboot/000-mount/runtime.json",
    ]);
    add(&["d 0755 containers/onboot/001-mount", "d 0755 containers/onboot/001-mount/rootfs"]);
    add(&[
        "- 0644 containers/onboot/001-mount/config.json",
        "- 0644 containers/onboot/001-mount/runtime.json",
    ]);
    add(&[
        "d 0755 containers/services",
        "d 0755 containers/services/s",
        "d 0755 containers/services/s/rootfs",
    ]);
    add(&["- 0755 containers/services/s/rootfs/ro"]);
    expected.extend(usual("containers/services/s/rootfs/", CONTAINER));
    let mut add = |lines: &[&str]| expected.extend(lines.iter().map(|line| (*line).to_owned()));
    add(&["- 0644 containers/services/s/config.json", "- 0644 containers/services/s/runtime.json"]);
    // The directory /etc is there and stays readable for all.
    add(&["- 0600 etc/linuxkit.yml", "d 0755 opt", "d 0755 opt/new", "l 0777 opt/new/link -> ../x"]);
    let tar = bench.read("x.tar");
    assert_eq!(listing(&tar), expected);

    let content: BTreeMap<String, Vec<u8>> = entries(&tar)
        .into_iter()
        .map(|(entry, data)| (String::from_utf8(entry.path).unwrap(), data))
        .collect();
    assert_eq!(content["boot/cmdline"], b"console=ttyS0");
    let value = |path: &str| -> Value { serde_json::from_slice(&content[path]).unwrap() };
    let first = value("containers/onboot/000-mount/runtime.json");
    let lower = "lowerdir=/containers/onboot/000-mount/lower";
    assert_eq!(first["mounts"][2]["options"][0], lower);
    assert_eq!(first["bindNS"].as_object().unwrap().len(), 7);
    let second = value("containers/onboot/001-mount/runtime.json");
    assert_eq!(second["mounts"][0]["source"], "/containers/onboot/000-mount/lower");
    let second = value("containers/onboot/001-mount/config.json");
    let binds: Vec<&str> = second["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|m| m["type"] == "bind")
        .map(|m| m["source"].as_str().unwrap())
        .collect();
    assert_eq!(binds, ["/a", "/containers/volumes/v/merged"]);
    assert_eq!(value("containers/services/s/config.json")["process"]["user"], json!({"uid": 102, "gid": 0}));
    assert!(content["containers/services/s/config.json"].starts_with(b"{\n    \""));
    let described = String::from_utf8_lossy(&content["etc/linuxkit.yml"]).into_owned();
    let again = crate::linuxkit::node::Node::parse("x", &described).unwrap().into_json();
    assert_eq!(again["init"], json!(["docker.io/library/i:latest"]));
    let text = String::from_utf8_lossy(&tar).into_owned();
    assert!(
        text.contains("LINUXKIT.location=onboot[1]\n")
            && text.contains("LINUXKIT.source=docker.io/library/c:latest\n")
    );
    let list =
        Command::new("tar").arg("-tf").arg(bench.path("x.tar")).stderr(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8(list.stdout).unwrap().lines().count(), expected.len());
}

#[test]
fn the_initrd_keeps_hard_links_and_forgets_what_layers_hide() {
    let mut low = files(&[("opq/low", b"low"), ("gone", b"x"), ("bin/busybox", b"#!")]);
    low.hard_link("bin/sh", "bin/busybox");
    let mut top = LayerBuilder::new();
    top.file("opq/.wh..wh..opq", 0o644, b"")
        .file("opq/new", 0o644, b"new")
        .whiteout("gone")
        .whiteout("bin/busybox");
    top.hard_link("bin/ash", "bin/sh");
    let bench = Bench::new(vec![kernel(BOTH), image("i", vec![low, top])]);
    bench
        .build("kernel: {image: k, ucode: ucode.cpio, cmdline: quiet}\ninit: [i]\n", &["kernel+initrd"])
        .unwrap();
    assert_eq!(bench.read("x-cmdline"), b"quiet");
    let initrd = bench.read("x-initrd.img");
    assert_eq!(&initrd[..10], b"ucode\0\0\0\x1f\x8b", "microcode fills a multiple of four");
    let archive = crate::compression::Compression::Gzip.decompress(&initrd[8..]).unwrap();
    assert_eq!((archive.len() % 512, &archive[..14]), (0, &b"070701000002d1"[..]));
    let to = bench.dir.path().join("unpacked");
    fs::create_dir(&to).unwrap();
    fs::write(bench.dir.path().join("cpio"), &archive).unwrap();
    let from = File::open(bench.dir.path().join("cpio")).unwrap();
    let Ok(status) = Command::new("cpio").args(["-id", "--quiet"]).current_dir(&to).stdin(from).status()
    else {
        println!("skipped: cpio is not installed");
        return;
    };
    assert!(status.success());
    let inode = |name: &str| fs::metadata(to.join(name)).unwrap().ino();
    assert_eq!(inode("bin/sh"), inode("bin/ash"));
    assert_eq!(fs::read(to.join("bin/ash")).unwrap(), b"#!");
    assert_eq!(fs::read(to.join("opq/new")).unwrap(), b"new");
    for gone in ["opq/low", "gone", "bin/busybox", "boot/kernel", "boot/cmdline", "boot/ucode.cpio"] {
        assert!(!to.join(gone).exists(), "{gone}");
    }
    assert!(to.join("boot").is_dir() && to.join("lib/modules/6.1.0/kernel/sound/snd.ko").is_file());
}

#[test]
fn equal_descriptions_give_equal_bytes() {
    let make = |latest| {
        let images = vec![kernel(BOTH), image("i", vec![files(&[("a", b"a")])])];
        let bench = Bench { latest, ..Bench::new(images) };
        bench
            .build(
                "kernel: {image: k}\ninit: [i]\n",
                &["tar", "kernel+initrd", "docker", "tar-kernel-initrd"],
            )
            .unwrap();
        ["x.tar", "x-kernel", "x-initrd.img", "x.docker", "x-initrd.tar"].map(|name| bench.read(name))
    };
    let first = make(None);
    assert!(first == make(None));
    assert!(listing(&first[3]).contains(&"- 0644 Dockerfile".to_owned()));
    assert_eq!(listing(&first[4]), ["- 0644 kernel", "- 0644 initrd.img"]);
    let time = |tar: &[u8]| entries(tar).iter().map(|(entry, _)| entry.mtime.seconds).max();
    let early = make(Some(1000));
    for at in [0, 3, 4] {
        assert_eq!((time(&first[at]), time(&early[at])), (Some(1_492_533_000), Some(1000)), "{at}");
    }
}

#[test]
fn archives_can_be_listed_by_tar() {
    let bench = Bench::new(vec![kernel(BOTH), image("i", vec![files(&[("a", b"a")])])]);
    let text = "kernel: {image: k, cmdline: quiet, ucode: ucode.cpio, tar: none}\ninit: [i]\n";
    bench.build(text, &["tar-kernel-initrd", "docker"]).unwrap();
    let list = |name: &str| {
        let output = Command::new("tar").arg("-tf").arg(bench.path(name)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list("x-initrd.tar"), ["kernel", "initrd.img", "cmdline", "ucode.cpio"]);
    let docker = list("x.docker");
    assert_eq!(docker[..4], ["boot", "boot/cmdline", "boot/kernel", "boot/ucode.cpio"]);
    assert_eq!(docker.last().unwrap(), "Dockerfile");
    assert!(docker.contains(&"a".to_owned()), "{docker:?}");
}

#[test]
fn attributes_that_an_initrd_cannot_hold_are_counted() {
    let mut archive = tar::Builder::new(Vec::new());
    for name in ["bin/ping", "bin/other"] {
        archive.append_pax_extensions([("SCHILY.xattr.security.capability", &b"\x01\0\0\x02"[..])]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, &b""[..]).unwrap();
    }
    let mut layer = LayerBuilder::new();
    layer.archive(&archive.into_inner().unwrap()[..]);
    let bench = Bench::new(vec![image("i", vec![layer])]);
    let warned = |output: &str| {
        let report = bench.build("init: [i]\n", &[output]).unwrap();
        report.warnings.iter().any(|one| one.starts_with("2 files have extended attributes"))
    };
    assert!(warned("kernel+initrd"));
    assert!(!warned("tar"), "an archive holds them");
    let kept = entries(&bench.read("x.tar")).iter().filter(|(entry, _)| !entry.xattrs.is_empty()).count();
    assert_eq!(kept, 2);
}

#[test]
fn without_a_kernel_there_is_just_an_initrd() {
    let bench = Bench::new(vec![]);
    bench.build("init: []\n", &["kernel+initrd"]).unwrap();
    let mut names: Vec<_> = fs::read_dir(bench.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["x-SHA256SUMS", "x-initrd.img"]);
}
