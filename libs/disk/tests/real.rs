//! Trees that people have: packed by GNU tar, they are on our disk what GNU tar unpacks elsewhere.
#![cfg(unix)]
mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use lcow_disk::ext4::export::{self, Form};
use lcow_disk::ext4::layer::{Options, convert};
use lcow_disk::ext4::reader::Reader;
use support::{assert_clean, tree};

fn tar(arguments: &[&str], archive: &Path, directory: &Path) -> bool {
    let mut command = Command::new("tar");
    // The archive first: names come after the directory they are in.
    command.arg("-C").arg(directory).arg("-f").arg(archive).args(arguments);
    command.output().is_ok_and(|output| output.status.success())
}

/// Directories that are there: part of the system, documentation of the compiler.
fn trees() -> Vec<PathBuf> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let documentation = sysroot.map(|root| PathBuf::from(root).join("share/doc/rust/html/alloc"));
    let candidates = [PathBuf::from("/etc"), PathBuf::from("/usr/sbin"), documentation.unwrap_or_default()];
    candidates.into_iter().filter(|path| path.is_dir()).collect()
}

#[test]
fn real_trees_arrive_and_come_back() {
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0) {
        println!("skipped: only root can unpack what belongs to others");
        return;
    }
    for source in trees() {
        let directory = tempfile::tempdir().unwrap();
        let (archive, image) = (directory.path().join("tar"), directory.path().join("image"));
        let unpacked = directory.path().join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        if !tar(&["-c", "--format=posix", "--xattrs", "."], &archive, &source)
            && !tar(&["-c", "--format=posix", "."], &archive, &source)
        {
            println!("skipped: {} cannot be packed", source.display());
            continue;
        }
        convert(File::open(&archive).unwrap(), File::create(&image).unwrap(), &Options::default()).unwrap();
        assert_clean(&image);
        assert!(tar(&["-x", "-p", "--xattrs", "--xattrs-include=*"], &archive, &unpacked));
        let expected = tree::without_directory_links(tree::mounted(&unpacked));
        let found = tree::without_directory_links(tree::read(File::open(&image).unwrap()));
        tree::assert_same(&found, &expected);
        // And once around: from the disk to an archive to another disk.
        let mut reader = Reader::open(File::open(&image).unwrap()).unwrap();
        let root = reader.root();
        let mut exported = File::create(&archive).unwrap();
        export::write(&mut reader, root, Form::Layer, &mut exported).unwrap();
        let again = directory.path().join("again");
        convert(File::open(&archive).unwrap(), File::create(&again).unwrap(), &Options::default()).unwrap();
        let mut again = tree::without_directory_links(tree::read(File::open(&again).unwrap()));
        // Of its root an exported layer says nothing.
        again.insert(Vec::new(), expected[&Vec::new()].clone());
        tree::assert_same(&again, &expected);
    }
}
