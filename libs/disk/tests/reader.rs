//! The reader against the kernel: file systems made by us, by `mke2fs` and by the kernel itself.
#![cfg(unix)]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use lcow_disk::ext4::reader::{ReadError, Reader};
use support::{Mounted, Tar, disk, have, tree};

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Files of many sizes, holes, links, a large directory, attributes small and large.
fn fill(root: &Path) {
    fs::create_dir_all(root.join("deep/er/still")).unwrap();
    for size in [0usize, 1, 59, 60, 61, 150, 200, 4095, 4096, 4097, 300_000] {
        fs::write(root.join(format!("deep/{size}")), &b"ext4 ".repeat(size)[..size]).unwrap();
    }
    fs::create_dir(root.join("many")).unwrap();
    for n in 0..2000 {
        fs::write(root.join(format!("many/{n:04}-{}", "n".repeat(n % 60))), n.to_string()).unwrap();
    }
    let sparse = File::create(root.join("sparse")).unwrap();
    for at in [0u64, 1 << 20, (5 << 20) + 123] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", at).unwrap();
    }
    sparse.set_len(9 << 20).unwrap();
    symlink("short", root.join("short")).unwrap();
    symlink("long/".repeat(30), root.join("long")).unwrap();
    fs::hard_link(root.join("deep/4097"), root.join("same")).unwrap();
    xattr::set(root.join("short-attribute"), "user.none", b"").unwrap_err();
    let file = root.join("deep/1");
    xattr::set(&file, "user.small", b"value").unwrap();
    xattr::set(&file, "user.large", &[b'x'; 700]).unwrap();
    xattr::set(root.join("deep"), "trusted.directory", &[1, 2, 3]).unwrap();
}

/// An image made by `mke2fs` with `options`, filled by the kernel through a loop mount; `after` sees it mounted.
fn filled(directory: &Path, options: &[&str], after: impl FnOnce(&Path, &Path)) -> Option<PathBuf> {
    if !have("mke2fs") {
        return None;
    }
    let image = directory.join("disk.img");
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run("mke2fs", &[&["-q", "-F", "-t", "ext4"], options, &[text(&image)]].concat());
    let mount = Mounted::new(&image, "rw")?;
    fill(&mount.path(""));
    after(&image, &mount.path(""));
    drop(mount);
    Some(image)
}

fn compare(image: &Path) {
    let Some(mount) = Mounted::new(image, "ro,noload") else { return };
    tree::assert_same(&tree::read(File::open(image).unwrap()), &tree::mounted(&mount.path("")));
}

#[test]
fn file_systems_of_the_kernel_read_the_same() {
    let variants: [&[&str]; 5] = [
        &[],
        &["-b", "1024"],
        &["-O", "inline_data"],
        &["-O", "^64bit,^metadata_csum,^has_journal"],
        &["-I", "128", "-O", "^dir_index"],
    ];
    for options in variants {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = filled(directory.path(), options, |_, _| {}) else { return };
        compare(&image);
    }
}

#[test]
fn a_journal_that_was_left_behind_is_replayed() {
    for options in [&[][..], &["-O", "^64bit,^metadata_csum"], &["-b", "1024"]] {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy.img");
        let made = filled(directory.path(), options, |image, root| {
            // Committed, and not yet written to where it belongs; then one transaction takes back what another did.
            let commit = |name: &str| {
                fs::write(root.join(name), name).unwrap();
                File::open(root.join(name)).unwrap().sync_all().unwrap();
            };
            commit("first");
            fs::remove_dir_all(root.join("many")).unwrap();
            commit("second");
            fs::write(root.join("reused"), vec![9; 4 << 20]).unwrap();
            commit("third");
            run("cp", &["--sparse=always", text(image), text(&copy)]);
        });
        if made.is_none() {
            return;
        }
        let found = tree::read(File::open(&copy).unwrap());
        assert!(found.contains_key(&b"third"[..]) && !found.contains_key(&b"many"[..]));
        assert!(without_journal(&copy).is_none_or(|old| old != found), "the journal was empty");
        // The kernel's own replay, on the copy.
        let Some(mount) = Mounted::new(&copy, "rw") else { return };
        tree::assert_same(&found, &tree::mounted(&mount.path("")));
    }
}

/// What a reader that knows nothing of journals would find; `None` if that makes no sense at all.
fn without_journal(image: &Path) -> Option<tree::Nodes> {
    let mut bytes = fs::read(image).unwrap();
    // `s_feature_incompat`, "needs recovery".
    assert_ne!(bytes[1024 + 96] & 4, 0);
    bytes[1024 + 96] &= !4;
    std::panic::catch_unwind(|| tree::read(std::io::Cursor::new(bytes))).ok()
}

#[test]
fn layers_read_back() {
    let mut tar = Tar::new();
    tar.pax("mtime", b"4000000000.123456789").xattr("user.a", &[7; 300]).file("a/b", &[1; 9000]);
    tar.hard_link("a/c", "a/b").symlink("l", &"t/".repeat(99)).device("null", b'3', 1, 3);
    tar.device("big", b'4', 259, 70_000).entry("fifo", b'6', 0o600, "", b"").file(".wh.gone", b"");
    let acl =
        [&2u32.to_le_bytes()[..], &[1, 0, 6, 0, 255, 255, 255, 255], &[2, 0, 7, 0, 0xe8, 3, 0, 0]].concat();
    let rest = [
        [4, 0, 4, 0, 255, 255, 255, 255],
        [16, 0, 7, 0, 255, 255, 255, 255],
        [32, 0, 4, 0, 255, 255, 255, 255],
    ];
    tar.xattr("system.posix_acl_access", &[acl, rest.concat()].concat()).file("acl", b"x");
    let disk = disk(&tar.finish());
    compare(&disk.path);
    let mut reader = Reader::open(File::open(&disk.path).unwrap()).unwrap();
    assert!(reader.is_clean());
    let gone = reader.resolve(b"/gone").unwrap();
    assert!(reader.metadata(gone).unwrap().is_whiteout());
    assert!(matches!(reader.resolve(b"a/x"), Err(ReadError::NotFound { .. })));
    assert!(matches!(reader.resolve(b"l/x"), Err(ReadError::Kind { expected: "directory", .. })));
    assert!(matches!(reader.file(2), Err(ReadError::Kind { .. })));
}

#[test]
fn no_damage_makes_it_panic() {
    use proptest::prelude::*;
    use std::io::{Cursor, Read};
    let mut tar = Tar::new();
    tar.xattr("user.a", &[7; 300]).file("a/b", &[1; 9000]).symlink("l", &"t/".repeat(99));
    let whole = support::image(&tar.finish()).unwrap();
    let start = 0x9000.min(whole.len());
    let damage =
        proptest::collection::vec((prop_oneof![0..4096usize, start..whole.len()], any::<u8>()), 1..12);
    proptest!(ProptestConfig::with_cases(500), |(damage in damage)| {
        let mut bytes = whole.clone();
        for (at, value) in damage {
            bytes[at] = value;
        }
        let Ok(mut reader) = Reader::open(Cursor::new(bytes)) else { return Ok(()) };
        for path in [&b"/"[..], b"a", b"a/b", b"l"] {
            let Ok(inode) = reader.resolve(path) else { continue };
            let _ = (reader.metadata(inode), reader.xattrs(inode), reader.read_dir(inode), reader.read_link(inode));
            if let Ok(file) = reader.file(inode) {
                let _ = file.take(100_000).read_to_end(&mut Vec::new());
            }
        }
    });
}
