//! What a container changed, as a layer: put back under overlayfs, it shows the same tree.
#![cfg(unix)]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use lcow_disk::ext4::export::{self, ExportError, Form};
use lcow_disk::ext4::layer::{Options, convert};
use lcow_disk::ext4::mkfs;
use lcow_disk::ext4::reader::Reader;
use lcow_disk::tar::{self, Kind};
use support::{Mounted, Tar, Union, assert_clean, tree};

/// The tar stream of `path` on the disk, and its entries' names.
fn exported(disk: &Path, path: &[u8], form: Form) -> Result<(Vec<u8>, Vec<String>), ExportError> {
    let mut reader = Reader::open(File::open(disk).unwrap()).unwrap();
    let directory = reader.resolve(path).unwrap();
    let mut bytes = Vec::new();
    export::write(&mut reader, directory, form, &mut bytes)?;
    let mut entries = tar::Reader::new(bytes.as_slice());
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().unwrap() {
        names.push(String::from_utf8(entry.path).unwrap());
    }
    Ok((bytes, names))
}

/// A lower layer, a scratch disk, and both under overlayfs.
struct Container {
    directory: tempfile::TempDir,
    lower: Mounted,
    scratch: Mounted,
    root: tempfile::TempDir,
}

impl Container {
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut tar = Tar::new();
        tar.file("gone", b"1").file("kept", b"2").file("emptied/a", b"3").file("emptied/b", b"4");
        tar.file("dir/below", b"5").file("remade/old", b"6").file("replaced/x", b"7").file("changed", b"8");
        let lower = directory.path().join("lower.img");
        convert(tar.finish().as_slice(), File::create(&lower).unwrap(), &Options::default()).unwrap();
        let scratch = directory.path().join("scratch.img");
        mkfs::create(&scratch, 64 << 20, &mkfs::Options::default()).unwrap();
        let lower = Mounted::new(&lower, "ro")?;
        let scratch = Mounted::new(&scratch, "rw")?;
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path("upper")).unwrap();
        fs::create_dir(scratch.path("work")).unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}{options}",
            path(&lower.path("")),
            path(&scratch.path("upper")),
            path(&scratch.path("work"))
        );
        let mounted = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(root.path())
            .output()
            .unwrap();
        if !mounted.status.success() {
            println!("skipped: no overlayfs: {}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self { directory, lower, scratch, root })
    }

    /// Unmount all; gives what was seen, and the disks' directory.
    fn end(self) -> (tree::Nodes, tempfile::TempDir) {
        let seen = tree::mounted(self.root.path());
        assert!(Command::new("umount").arg(self.root.path()).status().unwrap().success());
        drop((self.scratch, self.lower));
        assert_clean(&self.directory.path().join("scratch.img"));
        (seen, self.directory)
    }
}

#[test]
fn changes_become_a_layer_that_shows_the_same_tree() {
    let Some(container) = Container::new(",index=off,metacopy=off,redirect_dir=off") else { return };
    let root = container.root.path();
    fs::remove_file(root.join("gone")).unwrap();
    fs::remove_dir_all(root.join("remade")).unwrap();
    fs::create_dir(root.join("remade")).unwrap();
    fs::write(root.join("remade/new"), b"new").unwrap();
    fs::remove_dir_all(root.join("replaced")).unwrap();
    fs::write(root.join("replaced"), b"a file now").unwrap();
    fs::remove_file(root.join("emptied/a")).unwrap();
    fs::write(root.join("changed"), b"changed").unwrap();
    fs::set_permissions(root.join("dir/below"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(root.join("changed"), root.join("dir/same")).unwrap();
    symlink("t/".repeat(70), root.join("link")).unwrap();
    xattr::set(root.join("changed"), "user.a", b"b").unwrap();
    File::create(root.join("sparse")).unwrap().set_len(3 << 20).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    let (mut seen, directory) = container.end();
    seen.remove(&b"socket"[..]);
    let disk = directory.path().join("scratch.img");
    let (layer, names) = exported(&disk, b"/upper", Form::Layer).unwrap();
    for name in [".wh.gone", "emptied/.wh.a", "remade/.wh..wh..opq", "remade/new", "replaced"] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("kept") || name.contains("socket")), "{names:?}");
    assert_eq!(exported(&disk, b"/upper", Form::Layer).unwrap().0, layer);
    // The layer over the old one, by way of our own writer and the kernel.
    let upper = directory.path().join("upper.img");
    convert(layer.as_slice(), File::create(&upper).unwrap(), &Options::default()).unwrap();
    let lower = Mounted::new(&directory.path().join("lower.img"), "ro").unwrap();
    let upper = Mounted::new(&upper, "ro").unwrap();
    let union = Union::new(&[&upper.path(""), &lower.path("")]).unwrap();
    let mut found = tree::mounted(&union.root());
    // Of the root itself a layer says nothing, and the number of names below differs with it.
    found.remove(&b""[..]);
    seen.remove(&b""[..]);
    tree::assert_same(&found, &seen);
}

#[test]
fn parts_of_files_are_refused() {
    for (options, feature) in
        [(",metacopy=on,redirect_dir=on", "metacopy"), (",redirect_dir=on", "redirect_dir")]
    {
        let Some(container) = Container::new(options) else { return };
        let root = container.root.path();
        if feature == "metacopy" {
            fs::set_permissions(root.join("kept"), fs::Permissions::from_mode(0o600)).unwrap();
        } else {
            fs::rename(root.join("dir"), root.join("moved")).unwrap();
        }
        let (_, directory) = container.end();
        let error = exported(&directory.path().join("scratch.img"), b"/upper", Form::Layer).unwrap_err();
        assert!(
            matches!(error, ExportError::Incomplete { feature: found, .. } if found == feature),
            "{error}"
        );
    }
}

#[test]
fn a_plain_export_keeps_everything() {
    let mut tar = Tar::new();
    tar.file("a", b"x").hard_link("b", "a").file(".wh.gone", b"").file("d/.wh..wh..opq", b"");
    let disk = support::disk(&tar.finish());
    let (bytes, names) = exported(&disk.path, b"/", Form::Plain).unwrap();
    assert_eq!(names, ["a", "b", "d/", "gone"]);
    let mut entries = tar::Reader::new(bytes.as_slice());
    let found: Vec<_> = std::iter::from_fn(|| entries.next_entry().unwrap()).collect();
    assert_eq!((found[1].kind, &found[1].link[..]), (Kind::HardLink, &b"a"[..]));
    assert_eq!(found[2].xattrs, [(b"trusted.overlay.opaque".to_vec(), b"y".to_vec())]);
    assert_eq!(found[3].kind, Kind::CharDevice(0, 0));
    // Back to the layer it came from.
    let (_, names) = exported(&disk.path, b"/", Form::Layer).unwrap();
    assert_eq!(names, ["a", "b", "d/", "d/.wh..wh..opq", ".wh.gone"]);
}
