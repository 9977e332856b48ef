//! Empty file systems, judged by `e2fsck` and by a kernel that fills them.
mod support;

use std::fs::File;
use std::io::Cursor;

use lcow_disk::ext4::mkfs::{Backing, MIN_SIZE, Options, create, format};
use support::{Mounted, assert_clean};

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
