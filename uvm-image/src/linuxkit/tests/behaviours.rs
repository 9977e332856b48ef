//! What LinuxKit's own tests ask of a build (specification, section 11, tier 2), and what must be better here.

use std::collections::BTreeMap;
use std::process::Command;

use lcow_oci::build::LayerBuilder;

use super::*;
use crate::sums;

#[test]
fn every_entry_says_where_it_comes_from() {
    let bench = Bench::new(vec![
        kernel(BOTH),
        image("a", vec![files(&[("x", b"")])]),
        image("b", vec![files(&[("y", b"")])]),
    ]);
    let text = "
kernel: {image: k}
init: [a, b]
volumes: [{name: v, image: a}]
onboot: [{name: one, image: b}]
onshutdown: [{name: two, image: b}]
services: [{name: three, image: a}]
files: [{path: f, contents: x}]
";
    bench.build(text, &["tar"]).unwrap();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    let tar = bench.read("x.tar");
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let records: BTreeMap<String, String> = entry
            .pax_extensions()
            .unwrap()
            .unwrap_or_else(|| panic!("{path} says nothing"))
            .map(|record| record.unwrap())
            .map(|record| (record.key().unwrap().to_owned(), record.value().unwrap().to_owned()))
            .collect();
        places.insert(records["LINUXKIT.location"].clone(), records["LINUXKIT.source"].clone());
    }
    let image = |name: &str| format!("docker.io/library/{name}:latest");
    let expected: BTreeMap<String, String> = [
        ("files[0]", "linuxkit.files".to_owned()),
        ("init[0]", image("a")),
        ("init[1]", image("b")),
        ("kernel", image("k")),
        ("onboot[0]", image("b")),
        ("onshutdown[0]", image("b")),
        ("services[0]", image("a")),
        ("volumes[0]", "linuxkit.volumes".to_owned()),
    ]
    .map(|(place, source)| (place.to_owned(), source))
    .into();
    assert_eq!(places, expected);
}

#[test]
fn volumes_are_mounted_by_name() {
    let images = || vec![image("x", vec![files(&[("bin/x", b"#!")])])];
    let volumes = "volumes: [{name: a}, {name: b, image: x, readonly: true}]\n";
    for (container, expected) in [
        ("binds: [\"a:/a\"]", None),
        ("binds: [\"b:/b:ro\"]", None),
        ("mounts: [{type: bind, source: a, destination: /m, options: [rbind]}]", None),
        ("binds: [\"b:/b\"]", Some("volume b is read-only")),
        ("binds: [\"b:/b:rw\"]", Some("volume b is read-only")),
        ("binds: [\"c:/c\"]", Some("volume c not found in container s")),
    ] {
        let text = format!("{volumes}services: [{{name: s, image: x, {container}}}]\n");
        let bench = Bench::new(images());
        match expected {
            None => drop(bench.build(&text, &["tar"]).unwrap()),
            Some(expected) => {
                let error = bench.fails(&text, &["tar"]);
                assert!(error.contains(expected), "{error}");
            }
        }
    }
    // From several files: the volumes of all count.
    let bench = Bench::new(images());
    let service = "services: [{name: s, image: x, binds: [\"a:/a\", \"b:/b:ro\"]}]";
    bench
        .build_files(&["volumes: [{name: a}]", &format!("volumes: [{{name: b}}]\n{service}")], &["tar"])
        .unwrap();
}

#[test]
fn outputs_have_linuxkits_names() {
    let text = "kernel: {image: k, cmdline: quiet, ucode: ucode.cpio}\ninit: []\n";
    for (format, expected) in [
        ("kernel+initrd", &["x-SHA256SUMS", "x-cmdline", "x-initrd.img", "x-kernel"][..]),
        ("tar-kernel-initrd", &["x-SHA256SUMS", "x-initrd.tar"]),
        ("tar", &["x-SHA256SUMS", "x.tar"]),
        ("docker", &["x-SHA256SUMS", "x.docker"]),
        ("lcow", &["SHA256SUMS", "bootx64.efi", "initrd.img", "kernel", "versions.txt"]),
    ] {
        let bench = Bench::new(vec![kernel(BOTH)]);
        bench.build(text, &[format]).unwrap();
        let mut names: Vec<_> = fs::read_dir(bench.path(""))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, expected, "{format}");
        let list = bench.path(names.iter().find(|name| sums::is_list(name)).unwrap());
        let mut judge = Command::new("sha256sum");
        let judged = judge.args(["--strict", "-c"]).arg(&list).current_dir(bench.path("")).output().unwrap();
        assert!(judged.status.success(), "{format}: {judged:?}");
    }
    let bench = Bench { decompress_kernel: true, ..Bench::new(vec![kernel(BOTH)]) };
    bench.build(text, &["kernel+initrd", "tar-kernel-initrd", "tar"]).unwrap();
    assert_eq!(bench.read("x-kernel"), testing::vmlinux(true));
    let members: BTreeMap<Vec<u8>, Vec<u8>> =
        entries(&bench.read("x-initrd.tar")).into_iter().map(|(entry, data)| (entry.path, data)).collect();
    assert_eq!(members[&b"kernel"[..]], testing::vmlinux(true));
    assert_eq!(members[&b"ucode.cpio"[..]], b"ucode");
}

#[test]
fn files_keep_what_an_image_says_of_them() {
    // Set-id bits, owners, times, devices, pipes and attributes, which LayerBuilder does not write.
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_gid(50);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        archive.append_data(&mut header, path, &b""[..]).unwrap();
    };
    add("bin/su", tar::EntryType::Regular, 0o4755);
    add("null", tar::EntryType::Char, 0o666);
    add("pipe", tar::EntryType::Fifo, 0o600);
    add("dev/console", tar::EntryType::Char, 0o600);
    add(".dockerenv", tar::EntryType::Regular, 0o600);
    let mut layer = LayerBuilder::new();
    layer.archive(&archive.into_inner().unwrap()[..]);
    let bench = Bench::new(vec![image("x", vec![layer])]);
    bench.build("init: [x]\n", &["tar"]).unwrap();
    let tar = bench.read("x.tar");
    let all = entries(&tar);
    let found =
        |path: &str| all.iter().find(|(entry, _)| entry.path == path.as_bytes()).map(|(entry, _)| entry);
    let su = found("bin/su").unwrap();
    assert_eq!((su.mode, su.uid, su.gid, su.mtime.seconds), (0o4755, 1000, 50, 1_000_000_000));
    assert_eq!(found("null").unwrap().kind, Kind::CharDevice(1, 3));
    assert_eq!(found("pipe").unwrap().kind, Kind::Fifo);
    assert!(found("dev/console").is_none() && found(".dockerenv").is_none());
}
