//! Random archives against a simple model, through the kernel: what is mounted is what was packed, byte for byte and
//! attribute for attribute.
#![cfg(unix)]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use support::{Mounted, Tar, disk};

const DIRECTORIES: [&str; 5] = ["", "a/", "a/b/", "a/b/cc/", "zzz/"];

#[derive(Clone, Debug)]
enum Content {
    Data(Vec<u8>),
    Link(String),
    Fifo,
    /// Another name for an earlier entry, chosen by number.
    Same(prop::sample::Index),
}

#[derive(Clone, Debug)]
struct Step {
    directory: usize,
    name: String,
    content: Content,
    mode: u32,
    owner: (u32, u32),
    time: (i64, u32),
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// What the model keeps of a file.
#[derive(Clone, Debug)]
struct Leaf {
    step: Step,
    names: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let content = prop_oneof![
        4 => vec(any::<u8>(), 0..20_000).prop_map(Content::Data),
        1 => "[a-z/.]{1,200}".prop_map(Content::Link),
        1 => Just(Content::Fifo),
        2 => any::<prop::sample::Index>().prop_map(Content::Same),
    ];
    // Few short names, so that entries replace each other; some as long as names get.
    let name = prop_oneof![6 => "[f-i]", 1 => "[x-y]{255}"];
    let time = (-2_000_000_000i64..15_000_000_000, 0u32..1_000_000_000);
    let xattrs = btree_map("[k-p]{1,30}", vec(any::<u8>(), 0..600), 0..4);
    (0..DIRECTORIES.len(), name, content, 0u32..0o10000, any::<(u16, u16)>(), time, xattrs).prop_map(
        |(directory, name, content, mode, owner, time, xattrs)| Step {
            directory,
            name,
            content,
            mode,
            owner: (u32::from(owner.0) * 7, u32::from(owner.1)),
            time,
            xattrs,
        },
    )
}

/// Pack the steps, and work out what should come of them.
fn pack(steps: &[Step]) -> (Vec<u8>, BTreeMap<String, usize>, Vec<Leaf>) {
    let mut tar = Tar::new();
    let mut paths: BTreeMap<String, usize> = BTreeMap::new();
    let mut leaves: Vec<Leaf> = Vec::new();
    for step in steps {
        let path = format!("{}{}", DIRECTORIES[step.directory], step.name);
        let target = match &step.content {
            Content::Same(index) if !paths.is_empty() => {
                let target = paths.keys().nth(index.index(paths.len())).unwrap().clone();
                tar.hard_link(&path, &target);
                paths[&target]
            }
            Content::Same(_) => continue,
            _ => {
                add(&mut tar, &path, step);
                leaves.push(Leaf { step: step.clone(), names: 0 });
                leaves.len() - 1
            }
        };
        if let Some(old) = paths.insert(path, target) {
            leaves[old].names -= 1;
        }
        leaves[target].names += 1;
    }
    (tar.finish(), paths, leaves)
}

fn add(tar: &mut Tar, path: &str, step: &Step) {
    // PAX counts seconds as a decimal fraction towards zero.
    let (seconds, nanoseconds) = step.time;
    let time = match (seconds < 0, nanoseconds) {
        (true, 1..) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        _ => format!("{seconds}.{nanoseconds:09}"),
    };
    tar.pax("mtime", time.as_bytes());
    tar.pax("uid", step.owner.0.to_string().as_bytes()).pax("gid", step.owner.1.to_string().as_bytes());
    let may_have_xattrs = matches!(step.content, Content::Data(_));
    for (name, value) in step.xattrs.iter().filter(|_| may_have_xattrs) {
        tar.xattr(&format!("user.{name}"), value);
    }
    match &step.content {
        Content::Data(data) => tar.entry(path, b'0', step.mode, "", data),
        Content::Link(target) => tar.entry(path, b'2', step.mode, target, &[]),
        _ => tar.entry(path, b'6', step.mode, "", &[]),
    };
}

fn check(root: &Path, paths: &BTreeMap<String, usize>, leaves: &[Leaf]) {
    let mut found = BTreeSet::new();
    for directory in DIRECTORIES {
        let Ok(entries) = fs::read_dir(root.join(directory)) else { continue };
        for entry in entries.map(Result::unwrap).filter(|entry| !entry.file_type().unwrap().is_dir()) {
            found.insert(format!("{directory}{}", entry.file_name().to_str().unwrap()));
        }
    }
    assert_eq!(found, paths.keys().cloned().collect::<BTreeSet<_>>());
    for (path, &leaf) in paths {
        let Leaf { step, names } = &leaves[leaf];
        let file = root.join(path);
        let metadata = fs::symlink_metadata(&file).unwrap();
        assert_eq!(metadata.mode() & 0o7777, step.mode, "{path}");
        assert_eq!((metadata.uid(), metadata.gid()), step.owner, "{path}");
        assert_eq!(
            (metadata.mtime(), metadata.mtime_nsec()),
            (step.time.0, i64::from(step.time.1)),
            "{path}"
        );
        assert_eq!(metadata.nlink(), *names, "{path}");
        match &step.content {
            Content::Data(data) => {
                assert!(fs::read(&file).unwrap() == *data, "{path}");
                for (name, value) in &step.xattrs {
                    let stored = xattr::get(&file, format!("user.{name}")).unwrap();
                    assert_eq!(stored.as_ref(), Some(value), "{path}: {name}");
                }
                assert_eq!(xattr::list(&file).unwrap().count(), step.xattrs.len(), "{path}");
            }
            Content::Link(target) => assert_eq!(fs::read_link(&file).unwrap().to_str().unwrap(), target),
            _ => assert!(metadata.file_type().is_fifo(), "{path}"),
        }
    }
}

#[test]
fn what_is_mounted_is_what_was_packed() {
    proptest!(ProptestConfig::with_cases(40), |(steps in vec(step(), 0..40))| {
        let (tar, paths, leaves) = pack(&steps);
        // Judged by `e2fsck` on the way.
        let disk = disk(&tar);
        if let Some(mount) = Mounted::new(&disk.path, "ro") {
            check(&mount.path(""), &paths, &leaves);
            let image = fs::File::open(&disk.path).unwrap();
            support::tree::assert_same(&support::tree::read(image), &support::tree::mounted(&mount.path("")));
        }
    });
}
