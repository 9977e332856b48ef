//! Empty file systems, judged by `e2fsck` and by a kernel that fills them.
mod support;

use std::fs::File;
use std::io::Cursor;

use lcow_disk::ext4::mkfs::{Backing, MIN_SIZE, Options, create, format};
use support::{Mounted, assert_clean, debugfs};

const GIB: u64 = 1 << 30;

#[test]
fn any_size_is_clean_and_nearly_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    // Around the edges of groups and descriptor blocks too.
    let sizes =
        [MIN_SIZE, 10 << 20, (128 << 20) + 4096, (128 << 20) - 4096, 16 * GIB, 20 * GIB, 100 * GIB + 12_345];
    for size in sizes {
        let path = directory.path().join("scratch.img");
        create(&path, size, &Options::default()).unwrap();
        assert_clean(&path);
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.len(), size);
        #[cfg(unix)]
        assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 < 1 << 20, "{size}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_kernel_fills_it_and_it_stays_clean() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scratch.img");
    create(&path, GIB, &Options::default()).unwrap();
    let Some(mount) = Mounted::new(&path, "rw") else { return };
    for n in 0..3000 {
        std::fs::write(mount.path(&format!("file-{n}")), vec![7; n]).unwrap();
    }
    std::fs::write(mount.path("big"), vec![1; 200 << 20]).unwrap();
    std::fs::create_dir_all(mount.path("a/b/c")).unwrap();
    assert_eq!(std::fs::read(mount.path("file-2999")).unwrap(), vec![7; 2999]);
    drop(mount);
    assert_clean(&path);
}

/// What the agent meets: a device that held something else.
#[test]
fn old_content_does_not_shine_through() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("device");
    let size = 160 << 20;
    std::fs::write(&path, vec![0xff; size]).unwrap();
    let mut device = File::options().write(true).open(&path).unwrap();
    format(&mut device, size as u64, &Options { label: "scratch".into(), ..Options::default() }).unwrap();
    assert_clean(&path);
    let Some(mount) = Mounted::new(&path, "rw") else { return };
    for n in 0..2000 {
        std::fs::write(mount.path(&format!("{n}")), b"x").unwrap();
    }
    drop(mount);
    assert_clean(&path);
}

#[test]
fn equal_calls_give_equal_bytes_and_other_uuids_other_ones() {
    let made = |uuid| {
        let mut disk = Cursor::new(Vec::new());
        format(&mut disk, 32 << 20, &Options { backing: Backing::Zeroed, uuid, ..Options::default() })
            .unwrap();
        disk.into_inner()
    };
    assert!(made(None) == made(None));
    assert!(made(None) != made(Some([3; 16])));
}

#[test]
fn sizes_out_of_range_and_existing_files_are_refused() {
    let mut disk = Cursor::new(Vec::new());
    assert!(format(&mut disk, MIN_SIZE - 1, &Options::default()).is_err());
    assert!(format(&mut disk, 1 << 44, &Options::default()).is_err());
    assert!(disk.into_inner().is_empty());
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(create(file.path(), GIB, &Options::default()).is_err());
}

#[test]
fn a_journal_is_there_when_asked_for() {
    use lcow_disk::ext4::mkfs::Journal;
    for (size, journal) in
        [(64 << 20, Journal::Default), (20 << 30, Journal::Default), (1 << 30, Journal::Bytes(9 << 20))]
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        create(&path, size, &Options { journal, ..Options::default() }).unwrap();
        assert_clean(&path);
        if let Some(said) = debugfs(&path, "show_super_stats -h") {
            assert!(said.contains("has_journal") && said.contains("Journal inode:            8"), "{said}");
        }
        let Some(mount) = Mounted::new(&path, "rw") else { return };
        std::fs::write(mount.path("a"), b"x").unwrap();
        drop(mount);
        assert_clean(&path);
    }
    // What a disk held before must not be taken for transactions.
    let mut disk = std::io::Cursor::new(vec![0xff; 64 << 20]);
    let options = Options { journal: Journal::Default, ..Options::default() };
    lcow_disk::ext4::mkfs::format(&mut disk, 64 << 20, &options).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    std::fs::write(&path, disk.into_inner()).unwrap();
    assert_clean(&path);
}

#[test]
fn a_file_system_grows_with_its_disk() {
    use lcow_disk::ext4::mkfs::{Backing, Journal, MkfsError, grow};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    // Within a group, by groups, by more groups than the list of groups has room for, twice.
    for (journal, sizes) in [
        (Journal::None, &[(200 << 20), (201 << 20) + 4096, 1 << 30, 40 << 30, 50 << 30][..]),
        (Journal::Default, &[1 << 30, 3 << 30, 3 << 30, 100 << 30]),
        (Journal::None, &[20 << 30, 700 << 30]),
    ] {
        create(&path, sizes[0], &Options { journal, ..Options::default() }).unwrap();
        for (round, &size) in sizes.iter().enumerate() {
            let mut file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            file.set_len(size).unwrap();
            let made = grow(&mut file, size, Backing::Zeroed).unwrap();
            assert_eq!(u64::from(made.blocks), size / 4096);
            drop(file);
            assert_clean(&path);
            let Some(mount) = Mounted::new(&path, "rw") else { continue };
            for old in 0..round {
                assert!(std::fs::read(mount.path(&format!("{old}/file"))).unwrap() == vec![7; 3 << 20]);
            }
            std::fs::create_dir(mount.path(&round.to_string())).unwrap();
            std::fs::write(mount.path(&format!("{round}/file")), vec![7; 3 << 20]).unwrap();
            drop(mount);
            assert_clean(&path);
        }
        let mut file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let error = grow(&mut file, 1 << 20, Backing::Zeroed).unwrap_err();
        assert!(matches!(error, MkfsError::Shrink { .. }), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn only_our_own_unmounted_file_systems_grow() {
    use lcow_disk::ext4::mkfs::{Backing, MkfsError, grow};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let attempt = || {
        let mut file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        grow(&mut file, 1 << 40, Backing::Zeroed).unwrap_err()
    };
    assert!(matches!(attempt(), MkfsError::Foreign { .. }));
    create_anew(&path);
    assert!(matches!(attempt(), MkfsError::Foreign { reason } if reason.contains("too much")));
    if support::have("mke2fs") {
        assert!(
            std::process::Command::new("mke2fs").args(["-q", "-F"]).arg(&path).status().unwrap().success()
        );
        assert!(matches!(attempt(), MkfsError::Foreign { .. }));
    }
}

fn create_anew(path: &std::path::Path) {
    std::fs::remove_file(path).unwrap();
    create(path, 64 << 20, &Options::default()).unwrap();
}
