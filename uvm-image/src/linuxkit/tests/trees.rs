//! The same image in every form, against its layers laid over each other: each unpacked by GNU tar, then merged as overlayfs
//! merges.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::*;

/// Path, then kind and content.
type Tree = BTreeMap<String, String>;

/// Changes to an empty layer.
type Fill = fn(&mut LayerBuilder);

/// What is tried, and the layers, the lowest first.
const CASES: &[(&str, &[Fill])] = &[
    (
        "a directory without an entry hides a link below it",
        &[
            |layer| {
                layer.directory("usr", 0o755).file("usr/lib/a", 0o644, b"a").symlink("lib", "usr/lib");
            },
            |layer| {
                layer.file("lib/b", 0o644, b"b");
            },
        ],
    ),
    (
        "and a link to the outside, and a file",
        &[
            |layer| {
                layer.symlink("lib", "/../../etc").file("x", 0o644, b"x");
            },
            |layer| {
                layer.file("lib/b", 0o644, b"b").file("x/b", 0o644, b"b");
            },
        ],
    ),
    (
        "a file between two directories hides the lower one",
        &[
            |layer| {
                layer.directory("d", 0o700).file("d/low", 0o644, b"low");
            },
            |layer| {
                layer.whiteout("d").file("d", 0o644, b"file");
            },
            |layer| {
                layer.file("d/top", 0o644, b"top");
            },
        ],
    ),
    (
        "a directory without an entry keeps what is below it",
        &[
            |layer| {
                layer.directory("d", 0o700).file("d/low", 0o600, b"low");
            },
            |layer| {
                layer.file("d/top", 0o644, b"top");
            },
        ],
    ),
    (
        "a layer's own link is followed, but not out of the root",
        &[|layer| {
            layer.directory("usr", 0o755).directory("usr/lib", 0o755).symlink("lib", "usr/lib");
            layer.file("lib/b", 0o644, b"b");
        }],
    ),
    (
        "directories that have nothing but whiteouts are directories",
        &[
            |layer| {
                layer.symlink("link", "usr").file("file", 0o644, b"f").file("usr/a", 0o644, b"a");
                layer.directory("merged", 0o700).file("merged/a", 0o644, b"a").file("merged/b", 0o644, b"b");
                layer.symlink("again", "usr").symlink("gone", "usr");
            },
            |layer| {
                for path in ["link/x", "file/deep/x", "merged/b", "only/x", "top/deep/x", "again/x", "gone/x"]
                {
                    layer.whiteout(path);
                }
            },
            |layer| {
                layer.symlink("again", "file").whiteout("gone").directory("top", 0o711);
            },
        ],
    ),
    (
        "links to files that are left out or replaced",
        &[|layer| {
            layer.directory("etc", 0o755).file("etc/hostname", 0o640, b"host");
            layer.hard_link("etc/name2", "etc/hostname").hard_link("etc/name3", "etc/name2");
            layer.file("etc/hosts", 0o644, b"own").hard_link("hosts2", "etc/hosts");
            layer.file("etc/kept", 0o644, b"kept").hard_link("etc/kept2", "etc/kept");
        }],
    ),
];

/// What every root has, and what none has: not the image's.
const NOT_OF_THE_IMAGE: &[&str] = &[
    "boot",
    "boot/cmdline",
    "boot/kernel",
    "dev",
    "dev/pts",
    "dev/shm",
    "dev/console",
    "etc",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
    "proc",
    "sys",
    "lost+found",
];

fn walk(root: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        let found = path.symlink_metadata().unwrap();
        let mode = found.mode() & 0o7777;
        let shown = if found.is_dir() {
            walk(&path, &format!("{name}/"), tree);
            format!("directory {mode:o}")
        } else if found.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else {
            format!("{mode:o} {}", String::from_utf8_lossy(&fs::read(&path).unwrap()))
        };
        if !NOT_OF_THE_IMAGE.contains(&&name[..]) {
            tree.insert(name, shown);
        }
    }
}

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, "", &mut tree);
    tree
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn untar(tar: &[u8], into: &Path) {
    fs::create_dir_all(into).unwrap();
    let archive = into.with_extension("archive");
    fs::write(&archive, tar).unwrap();
    // Links that lead out are made last by GNU tar, and not followed.
    run(Command::new("tar").args(["--warning=no-unknown-keyword", "-xpf"]).arg(&archive).arg("-C").arg(into));
}

/// The layers of the image, the lowest first: each unpacked by itself, and the paths it has entries for.
fn layers(bench: &Bench) -> Vec<(Tree, Vec<String>)> {
    let store = Store::open(bench.dir.path().join("store")).unwrap();
    let image = store.get(&"i".parse().unwrap()).unwrap();
    let layer = |number| {
        let into = bench.dir.path().join(format!("layer{number}"));
        let mut tar = Vec::new();
        store.open_layer(&image, number).unwrap().read_to_end(&mut tar).unwrap();
        untar(&tar, &into);
        let named = entries(&tar).into_iter().map(|(entry, _)| String::from_utf8(entry.path).unwrap());
        (tree(&into), named.map(|path| path.trim_end_matches('/').to_owned()).collect())
    };
    (0..image.manifest.layers.len()).map(layer).collect()
}

/// The tree of an overlay of `layers` (`Documentation/filesystems/overlayfs.rst`). A directory that a layer has no entry for
/// keeps the mode it had below.
fn overlay(layers: &[(Tree, Vec<String>)]) -> Tree {
    let mut all = Tree::new();
    for (layer, named) in layers {
        let gone = layer.keys().filter(|path| path.contains(".wh."));
        let gone: Vec<String> = gone.map(|path| path.replacen(".wh.", "", 1)).collect();
        let is_directory = |path: &str| layer.get(path).is_some_and(|shown| shown.starts_with("directory"));
        let hidden = |all: &Tree, path: &str| {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            ends.map(|end| &path[..end]).any(|part| {
                let was_directory = all.get(part).is_some_and(|shown| shown.starts_with("directory"));
                gone.iter().any(|gone| gone == part)
                    || (layer.contains_key(part) && !(is_directory(part) && was_directory))
            })
        };
        let before = all.clone();
        all.retain(|path, _| !hidden(&before, path));
        for (path, shown) in layer.iter().filter(|(path, _)| !path.contains(".wh.")) {
            if named.contains(path) || !all.contains_key(path) {
                all.insert(path.clone(), shown.clone());
            }
        }
    }
    all
}

#[test]
fn every_form_has_what_the_layers_have_over_each_other() {
    for (what, fills) in CASES {
        let build = || {
            fills.iter().map(|fill| {
                let mut layer = LayerBuilder::new();
                fill(&mut layer);
                layer
            })
        };
        let bench = Bench::new(vec![kernel(BOTH), image("i", build().collect())]);
        let at = |name: &str| bench.dir.path().join(name);
        let text = "kernel: {image: k, tar: none}\ninit: [i]\n";
        bench.build(text, &["tar", "kernel+initrd"]).unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let expected = overlay(&layers(&bench));
        untar(&bench.read("x.tar"), &at("tar"));
        assert_eq!(tree(&at("tar")), expected, "{what}: tar");
        assert_eq!(initrd(&bench, &at("cpio")), expected, "{what}: initrd");
        assert_eq!(disk(&bench, &at("disk")), expected, "{what}: disk");
    }
}

/// The initrd as `cpio` unpacks it.
fn initrd(bench: &Bench, into: &Path) -> Tree {
    fs::create_dir(into).unwrap();
    let script = "gzip -dc \"$0\" | cpio -idu --quiet --no-absolute-filenames";
    run(Command::new("sh").args(["-ec", script]).arg(bench.path("x-initrd.img")).current_dir(into));
    tree(into)
}

/// The root on a disk as `e2fsck` and `debugfs` see it.
fn disk(bench: &Bench, into: &Path) -> Tree {
    fs::create_dir(into).unwrap();
    let disk = crate::formats::root_disk::RootDisk::of_tar(&bench.read("x.tar")[..], false).unwrap();
    let file = into.with_extension("img");
    fs::write(&file, disk.bytes).unwrap();
    run(Command::new("e2fsck").arg("-fn").arg(&file));
    run(Command::new("debugfs").args(["-R", &format!("rdump / {}", into.display())]).arg(&file));
    tree(into)
}
