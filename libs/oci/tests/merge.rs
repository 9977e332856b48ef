//! Merged layers against layers laid over each other one by one, with GNU tar and the file system of the machine.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use lcow_disk::ext4::layer;
use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::load;
use lcow_oci::store::{Image, Store};
use proptest::prelude::*;

/// A step in the making of a layer. Numbers choose among few names, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    File(u8, u8),
    Directory(u8),
    Symlink(u8),
    HardLink(u8, u8),
    Whiteout(u8),
    Opaque(u8),
}

const NAMES: [&str; 7] = ["a", "b", "d", "d/a", "d/e", "d/e/a", "d-x"];

fn name(number: u8) -> &'static str {
    NAMES[usize::from(number) % NAMES.len()]
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        4 => (any::<u8>(), any::<u8>()).prop_map(|(at, content)| Step::File(at, content)),
        2 => any::<u8>().prop_map(Step::Directory),
        1 => any::<u8>().prop_map(Step::Symlink),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(at, target)| Step::HardLink(at, target)),
        2 => any::<u8>().prop_map(Step::Whiteout),
        1 => any::<u8>().prop_map(Step::Opaque),
    ];
    prop::collection::vec(prop::collection::vec(step, 0..6), 1..5)
}

/// What an overlay of the layers would hold: path, then kind and content, and the number of names.
type Tree = BTreeMap<String, (String, u64)>;

/// Makes the layers as a builder would: only what makes sense upon what is there. Gives the layers; `root` has the result.
fn build(root: &Path, layers: &[Vec<Step>]) -> Vec<LayerBuilder> {
    layers.iter().map(|steps| build_layer(root, steps)).collect()
}

fn build_layer(root: &Path, steps: &[Step]) -> LayerBuilder {
    let mut layer = LayerBuilder::new();
    // Whiteouts first: within a layer they are about the layers below only.
    for step in steps {
        match step {
            Step::Whiteout(at) if root.join(name(*at)).symlink_metadata().is_ok() => {
                layer.whiteout(name(*at));
                remove(&root.join(name(*at)));
            }
            Step::Opaque(at) if is_directory(&root.join(name(*at))) => {
                layer.file(&format!("{}/.wh..wh..opq", name(*at)), 0o644, b"");
                remove(&root.join(name(*at)));
                fs::create_dir(root.join(name(*at))).expect("directory");
                layer.directory(name(*at), 0o755);
            }
            _ => {}
        }
    }
    for step in steps {
        let (Step::File(at, _) | Step::Directory(at) | Step::Symlink(at) | Step::HardLink(at, _)) = step
        else {
            continue;
        };
        let (short, path) = (name(*at), root.join(name(*at)));
        if !path.parent().is_some_and(is_directory) {
            continue;
        }
        match step {
            Step::File(_, content) => {
                remove(&path);
                fs::write(&path, [*content; 10]).expect("file");
                layer.file(short, 0o644, &[*content; 10]);
            }
            Step::Symlink(_) => {
                remove(&path);
                std::os::unix::fs::symlink("a", &path).expect("symlink");
                layer.symlink(short, "a");
            }
            Step::Directory(_) => {
                if !is_directory(&path) {
                    remove(&path);
                    fs::create_dir(&path).expect("directory");
                }
                layer.directory(short, 0o755);
            }
            Step::HardLink(_, target) => {
                let target = name(*target);
                let there = root.join(target).symlink_metadata().is_ok_and(|found| found.is_file());
                // Nothing below a removed directory can be linked to.
                if there && target != short && !target.starts_with(&format!("{short}/")) {
                    remove(&path);
                    fs::hard_link(root.join(target), &path).expect("link");
                    layer.hard_link(short, target);
                }
            }
            _ => {}
        }
    }
    layer
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

fn remove(path: &Path) {
    if is_directory(path) {
        fs::remove_dir_all(path).expect("removed");
    } else {
        // It may not be there.
        let _ = fs::remove_file(path);
    }
}

fn walk(root: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(root).expect("list") {
        let entry = entry.expect("entry");
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // Overlayfs lists whiteouts of directories that only one layer has, though nothing can be done with them.
        let Ok(found) = path.symlink_metadata() else { continue };
        let shown = if found.is_dir() {
            walk(&path, &format!("{name}/"), tree);
            ("directory".to_owned(), 0)
        } else if found.is_symlink() {
            (format!("-> {}", fs::read_link(&path).expect("target").display()), 1)
        } else {
            (format!("{:?}", fs::read(&path).expect("content")), found.nlink())
        };
        tree.insert(name, shown);
    }
}

fn load(directory: &Path, layers: Vec<LayerBuilder>) -> (Store, Image) {
    let reference = "test".parse().expect("reference");
    let mut builder = ImageBuilder::new("test".parse().expect("reference"));
    for (layer, packing) in layers.into_iter().zip([Compression::Gzip, Compression::None].into_iter().cycle())
    {
        builder = builder.layer(layer, packing);
    }
    builder.write_layout(&directory.join("layout")).expect("layout");
    let store = Store::open(directory.join("store")).expect("store");
    load::load(&store, &directory.join("layout"), &load::Options::default()).expect("loaded");
    let image = store.get(&reference).expect("image");
    (store, image)
}

/// The tree of a disk as `debugfs` sees it; links are counted by itself.
fn disk_tree(disk: &Path, into: &Path) -> Tree {
    let checked = Command::new("e2fsck").arg("-fn").arg(disk).output().expect("e2fsck");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    fs::create_dir(into).expect("directory");
    let debugfs = |request: &str| {
        let output = Command::new("debugfs").args(["-R", request]).arg(disk).output().expect("debugfs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    debugfs(&format!("rdump / {}", into.display()));
    let mut tree = Tree::new();
    walk(into, "", &mut tree);
    tree.remove("lost+found");
    for (name, (_, links)) in &mut tree {
        if *links > 0 {
            let shown = debugfs(&format!("stat /{name}"));
            let (_, rest) = shown.split_once("Links: ").expect("a count");
            *links = rest.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a number");
        }
    }
    tree
}

/// The merged tree, and the one that was made step by step.
fn both(layers: &[Vec<Step>]) -> (Tree, Tree) {
    let directory = tempfile::tempdir().expect("directory");
    let root = directory.path().join("root");
    fs::create_dir(&root).expect("directory");
    let (store, image) = load(directory.path(), build(&root, layers));
    let disk = directory.path().join("disk");
    let merged = store.merged(&image).expect("merged");
    layer::convert(merged, fs::File::create(&disk).expect("file"), &layer::Options::default())
        .expect("converted");
    let mut expected = Tree::new();
    walk(&root, "", &mut expected);
    (disk_tree(&disk, &directory.path().join("dump")), expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn merged_layers_are_what_an_overlay_holds(layers in steps()) {
        let (merged, expected) = both(&layers);
        prop_assert_eq!(merged, expected);
    }
}

#[test]
fn links_outlive_the_name_that_their_data_came_with() {
    use Step::{Directory, File, HardLink, Opaque, Whiteout};
    // a with two more names, one of them a link to a link.
    let low = || vec![Directory(2), File(3, 1), HardLink(0, 3), HardLink(1, 0), HardLink(6, 3)];
    for (upper, names) in [
        (vec![], 4),
        (vec![Whiteout(3)], 3),
        (vec![File(3, 2)], 3),
        (vec![Opaque(2)], 3),
        (vec![Whiteout(3), Whiteout(0)], 2),
        (vec![File(0, 2), HardLink(3, 0)], 2),
    ] {
        let (merged, expected) = both(&[low(), upper.clone()]);
        assert_eq!(merged, expected, "{upper:?}");
        let old = merged.values().filter(|(content, _)| content.starts_with("[1, 1")).count();
        assert_eq!(old, names, "{upper:?}");
    }
}

/// Changes to an empty layer.
type Fill = fn(&mut LayerBuilder);

/// What is tried, the layers, the lowest first, and what an overlay of them holds.
const OVERLAID: &[(&str, &[Fill], &[&str])] = &[
    (
        "directories without entries hide what is none in lower layers",
        &[
            |layer| {
                layer.directory("usr", 0o755).directory("usr/lib", 0o755).file("usr/lib/a", 0o644, b"a");
                layer.symlink("lib", "usr/lib").symlink("out", "/../../etc");
                layer.file("x", 0o644, b"x").hard_link("y", "x");
            },
            |layer| {
                layer.file("lib/b", 0o644, b"b").file("x/deep/b", 0o644, b"b").file(
                    "out/passwd",
                    0o644,
                    b"p",
                );
            },
        ],
        &[
            "lib directory",
            "lib/b [98]",
            "out directory",
            "out/passwd [112]",
            "usr directory",
            "usr/lib directory",
            "usr/lib/a [97]",
            "x directory",
            "x/deep directory",
            "x/deep/b [98]",
            "y [120]",
        ],
    ),
    (
        "a layer's own links are followed, whatever higher layers make of them",
        &[
            |layer| {
                layer.directory("usr", 0o755).directory("usr/lib", 0o755).symlink("lib", "usr/lib");
                layer.file("lib/a", 0o644, b"a").hard_link("lib/a2", "lib/a").hard_link("a3", "lib/a");
                layer.directory("lib/d", 0o755).directory("lib/d/e", 0o755).symlink("lib/d/f", "e");
                layer.file("lib/d/f/c", 0o644, b"c");
                layer.file("lib/hidden", 0o644, b"h").hard_link("lib/kept", "lib/hidden");
            },
            |layer| {
                layer.file("lib/b", 0o644, b"b").whiteout("usr/lib/hidden");
            },
        ],
        &[
            "a3 [97]",
            "lib directory",
            "lib/b [98]",
            "usr directory",
            "usr/lib directory",
            "usr/lib/a [97]",
            "usr/lib/a2 [97]",
            "usr/lib/d directory",
            "usr/lib/d/e directory",
            "usr/lib/d/e/c [99]",
            "usr/lib/d/f -> e",
            "usr/lib/kept [104]",
        ],
    ),
    (
        "whiteouts, too, are where a layer's own links lead, and nowhere else",
        &[
            |layer| {
                layer
                    .file("usr/lib/a", 0o644, b"a")
                    .file("usr/lib/b", 0o644, b"b")
                    .file("etc/a", 0o644, b"a");
                layer.symlink("etc2", "etc");
            },
            |layer| {
                layer.directory("usr", 0o755).directory("usr/lib", 0o755).symlink("lib", "usr/lib");
                layer.whiteout("lib/a").file("etc2/c", 0o644, b"c");
            },
        ],
        &[
            "etc directory",
            "etc/a [97]",
            "etc2 directory",
            "etc2/c [99]",
            "lib -> usr/lib",
            "usr directory",
            "usr/lib directory",
            "usr/lib/b [98]",
        ],
    ),
    (
        "directories that have nothing but whiteouts are directories",
        &[
            |layer| {
                layer.symlink("link", "usr").file("file", 0o644, b"f").file("usr/a", 0o644, b"a");
                layer.file("merged/a", 0o644, b"a").file("merged/b", 0o644, b"b").symlink("opaque", "usr");
                layer.symlink("again", "usr").symlink("gone", "usr");
            },
            |layer| {
                for path in ["link/x", "file/deep/x", "merged/b", "only/x", "again/x", "gone/x"] {
                    layer.whiteout(path);
                }
            },
            |layer| {
                layer.symlink("again", "file").whiteout("gone");
            },
        ],
        &[
            "again -> file",
            "file directory",
            "file/deep directory",
            "link directory",
            "merged directory",
            "merged/a [97]",
            "only directory",
            "opaque -> usr",
            "usr directory",
            "usr/a [97]",
        ],
    ),
];

#[test]
fn merged_layers_are_what_overlayfs_shows() {
    for (what, fills, expected) in OVERLAID {
        let directory = tempfile::tempdir().expect("directory");
        let layers = fills.iter().map(|fill| {
            let mut layer = LayerBuilder::new();
            fill(&mut layer);
            layer
        });
        let (store, image) = load(directory.path(), layers.collect());
        let disk = directory.path().join("disk");
        let merged = store.merged(&image).expect("merged");
        layer::convert(merged, fs::File::create(&disk).expect("file"), &layer::Options::default())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(shown(&disk_tree(&disk, &directory.path().join("dump"))), *expected, "{what}");
        if let Some(judged) = overlay(&store, &image, directory.path()) {
            assert_eq!(shown(&judged), *expected, "{what}: overlayfs");
        }
    }
}

fn shown(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(name, (shown, _))| format!("{name} {shown}")).collect()
}

/// The layers, each unpacked by GNU tar, under the kernel's overlayfs; `None`, with the reason printed, where that is not
/// possible.
fn overlay(store: &Store, image: &Image, scratch: &Path) -> Option<Tree> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root makes device files and mounts");
        return None;
    }
    let mut lower = Vec::new();
    for at in 0..image.manifest.layers.len() {
        let (archive, into) = (scratch.join(format!("{at}.tar")), scratch.join(format!("layer{at}")));
        let mut tar = Vec::new();
        store.open_layer(image, at).expect("layer").read_to_end(&mut tar).expect("read");
        fs::write(&archive, tar).expect("archive");
        fs::create_dir(&into).expect("directory");
        let unpack = format!(
            "tar -xpf {archive} -C {into} && find {into} -name '.wh.*' | while read -r path; do \
             name=${{path##*/}}; rm \"$path\"; mknod \"${{path%/*}}/${{name#.wh.}}\" c 0 0; done",
            archive = archive.display(),
            into = into.display(),
        );
        run(Command::new("bash").args(["-o", "pipefail", "-ec", &unpack])).expect("unpacked");
        lower.insert(0, into.display().to_string());
    }
    let root = scratch.join("union");
    fs::create_dir(&root).expect("directory");
    let options = format!("lowerdir={}", lower.join(":"));
    let mounted = run(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&root));
    if let Err(error) = mounted {
        println!("skipped: no overlayfs here: {error}");
        return None;
    }
    let mut tree = Tree::new();
    let walked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| walk(&root, "", &mut tree)));
    run(Command::new("umount").arg("-l").arg(&root)).expect("unmounted");
    walked.expect("read");
    Some(tree)
}

/// What went wrong, if it did.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
}

#[test]
fn a_damaged_layer_is_noticed_at_the_end() {
    let directory = tempfile::tempdir().expect("directory");
    let mut low = LayerBuilder::new();
    low.file("a", 0o644, &[7; 5000]);
    let (store, image) = load(directory.path(), vec![LayerBuilder::new(), low]);
    let blob = store.root().join("blobs/sha256").join(image.manifest.layers[1].digest.hex());
    let mut merged = store.merged(&image).expect("merged");
    let mut bytes = fs::read(&blob).expect("blob");
    bytes[2000] ^= 1;
    // The plan is made; what is read now is something else.
    fs::write(&blob, &bytes).expect("written");
    let read = merged.read_to_end(&mut Vec::new());
    let late = store.merged(&image).map(drop);
    assert!(read.is_err() || late.is_err(), "the damage was not seen");
    late.expect_err("the second reading sees it at once");
}
