//! Stacks of layers with whiteouts: flattened, merged and one by one under overlayfs, they are the same tree.
#![cfg(unix)]
mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lcow_disk::ext4::layer::{Options, Whiteouts, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{Mounted, Tar, Union, assert_clean};

#[derive(Clone, Debug)]
enum Step {
    Directory(String),
    File(String, u8),
    Symlink(String),
    Whiteout(String),
    Opaque(String),
}

/// Few names, so that layers meet.
fn step() -> impl Strategy<Value = Step> {
    let path = "[ab](/[ab]){0,2}";
    prop_oneof![
        3 => path.prop_map(Step::Directory),
        4 => (path, any::<u8>()).prop_map(|(path, data)| Step::File(path, data)),
        1 => path.prop_map(Step::Symlink),
        3 => path.prop_map(Step::Whiteout),
        1 => "[ab](/[ab])?".prop_map(Step::Opaque),
    ]
}

/// The archive of a layer, as writers of layers make them: no name twice, parents before children, nothing below
/// something that is not a directory in this layer.
fn pack(steps: &[Step]) -> Vec<u8> {
    let plain = Step::Directory(String::new());
    let mut named: BTreeMap<String, &Step> = BTreeMap::new();
    let mut removed = BTreeMap::new();
    for step in steps {
        match step {
            Step::Whiteout(path) => drop(removed.insert(path.clone(), step)),
            Step::Opaque(path) => drop(named.insert(path.clone(), step)),
            Step::Directory(path) | Step::File(path, _) | Step::Symlink(path) => {
                named.insert(path.clone(), step);
            }
        }
    }
    for path in named.keys().cloned().collect::<Vec<_>>() {
        for (at, _) in path.match_indices('/') {
            let parent = named.entry(path[..at].to_owned()).or_insert(&plain);
            if matches!(parent, Step::File(..) | Step::Symlink(_)) {
                *parent = &plain;
            }
        }
    }
    let mut tar = Tar::new();
    let whiteout = |path: &str| match path.rsplit_once('/') {
        Some((parent, name)) => format!("{parent}/.wh.{name}"),
        None => format!(".wh.{path}"),
    };
    for (path, step) in &named {
        match step {
            Step::File(_, data) => drop(tar.file(path, &[*data; 3])),
            Step::Symlink(_) => drop(tar.symlink(path, "x")),
            Step::Opaque(_) => {
                tar.dir(path).file(&format!("{path}/.wh..wh..opq"), b"");
            }
            _ => drop(tar.dir(path)),
        }
    }
    for path in removed.keys() {
        let parent_is_directory = path.rsplit_once('/').is_none_or(|(parent, _)| {
            named.get(parent).is_some_and(|step| matches!(step, Step::Directory(_) | Step::Opaque(_)))
        });
        if parent_is_directory {
            tar.file(&whiteout(path), b"");
        }
    }
    tar.finish()
}

/// Every path with its mode and content.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            // Overlayfs lists whiteouts of directories that only one layer has, though nothing can be done with them.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let content = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            found.insert(
                path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
                (metadata.mode(), content),
            );
            if metadata.is_dir() {
                waiting.push(path);
            }
        }
    }
    found
}

/// A mounted disk made of `layers`.
fn disk(layers: &[Vec<u8>], whiteouts: Whiteouts) -> Option<(tempfile::TempDir, Mounted)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.img");
    let options = Options { whiteouts, ..Options::default() };
    let mut writer = Writer::new(File::create(&path).unwrap(), &options).unwrap();
    for tar in layers {
        writer.add_layer(tar.as_slice()).unwrap();
    }
    writer.finish().unwrap();
    assert_clean(&path);
    Mounted::new(&path, "ro").map(|mount| (directory, mount))
}

/// What a container would see of these disks, bottom-most first.
fn united(disks: &[&[Vec<u8>]]) -> Option<BTreeMap<String, (u32, Vec<u8>)>> {
    let mounts: Option<Vec<_>> = disks.iter().map(|layers| disk(layers, Whiteouts::Overlay)).collect();
    let mounts = mounts?;
    let empty = tempfile::tempdir().unwrap();
    let roots: Vec<_> = mounts.iter().rev().map(|(_, mount)| mount.path("")).collect();
    // A union has at least two parts.
    let parts = roots.iter().map(AsRef::as_ref).chain([empty.path()]).collect::<Vec<_>>();
    let mut tree = tree(&Union::new(&parts)?.root());
    tree.remove("lost+found");
    Some(tree)
}

#[test]
fn flattened_merged_and_stacked_layers_are_the_same_tree() {
    let config = ProptestConfig { max_shrink_iters: 60, ..ProptestConfig::with_cases(40) };
    proptest!(config, |(layers in vec(vec(step(), 0..8), 2..5))| {
        let layers: Vec<_> = layers.iter().map(|steps| pack(steps)).collect();
        let singles: Vec<&[Vec<u8>]> = layers.chunks(1).collect();
        let Some(expected) = united(&singles) else { return Ok(()) };
        if let Some((_directory, flat)) = disk(&layers, Whiteouts::Apply) {
            prop_assert_eq!(&tree(&flat.path("")), &expected);
        }
        let (lower, upper) = layers.split_at(layers.len() / 2);
        prop_assert_eq!(&united(&[lower, upper]).unwrap(), &expected);
        let (lower, upper) = layers.split_at(1);
        prop_assert_eq!(&united(&[lower, upper]).unwrap(), &expected);
    });
}
