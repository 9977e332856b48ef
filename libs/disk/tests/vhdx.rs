//! VHDX disks, judged by QEMU.
mod support;

use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use lcow_disk::ext4::mkfs::Options;
use lcow_disk::vhdx::{Disk, create_ext4};
use support::{assert_clean, have};

fn qemu_img(arguments: &[&str], disk: &Path) -> Option<String> {
    if !have("qemu-img") {
        return None;
    }
    let output = Command::new("qemu-img").args(arguments).arg(disk).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn scratch_disks_are_small_and_qemu_finds_a_clean_file_system() {
    let directory = tempfile::tempdir().unwrap();
    for size in [64 << 20, (1u64 << 30) + 4096 * 3, 20 << 30] {
        let (path, raw) = (directory.path().join("scratch.vhdx"), directory.path().join("raw"));
        create_ext4(&path, size, &Options::default()).unwrap();
        assert!(path.metadata().unwrap().len() < 16 << 20);
        let Some(checked) = qemu_img(&["check", "-f", "vhdx"], &path) else { return };
        assert!(checked.contains("No errors"), "{checked}");
        let info = qemu_img(&["info", "--output=json"], &path).unwrap();
        assert!(info.contains(&format!("\"virtual-size\": {size}")) && info.contains("\"vhdx\""), "{info}");
        if size > 2 << 30 {
            continue;
        }
        let converted =
            Command::new("qemu-img").args(["convert", "-O", "raw"]).args([&path, &raw]).status().unwrap();
        assert!(converted.success());
        assert_clean(&raw);
        std::fs::remove_file(&path).unwrap();
    }
}

/// Writes across blocks, in any order, far apart: past the first chunk of the table, where an entry is left out.
#[test]
fn what_was_written_is_where_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.vhdx");
    let size = (4u64 << 30) + (4 << 20);
    let mut disk = Disk::new(std::fs::File::create(&path).unwrap(), size, [1; 16]).unwrap();
    let writes = [(size - 512, 512), (4u64 << 30, 5000), ((1 << 20) - 100, 200), (2 << 30, 3 << 20), (0, 1)];
    for (at, length) in writes {
        disk.seek(SeekFrom::Start(at)).unwrap();
        disk.write_all(&vec![7; length]).unwrap();
    }
    assert_eq!(disk.write(b"x").unwrap(), 1);
    disk.seek(SeekFrom::End(0)).unwrap();
    assert_eq!(disk.write(b"x").unwrap(), 0, "nothing fits behind the end");
    disk.finish().unwrap();
    let raw = directory.path().join("raw");
    let mut expected = std::fs::File::create(&raw).unwrap();
    expected.set_len(size).unwrap();
    for (at, length) in writes {
        expected.seek(SeekFrom::Start(at)).unwrap();
        expected.write_all(&vec![7; length]).unwrap();
    }
    expected.seek(SeekFrom::Start(1)).unwrap();
    expected.write_all(b"x").unwrap();
    let raw = raw.to_str().unwrap();
    qemu_img(&["compare", "-f", "raw", "-F", "vhdx", raw], &path);
}

#[test]
fn sizes_that_cannot_be_are_refused_and_equal_calls_give_equal_bytes() {
    for size in [0, 513, (64 << 40) + 512] {
        assert!(Disk::new(Cursor::new(Vec::new()), size, [0; 16]).is_err());
    }
    let directory = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let path = directory.path().join(name);
        create_ext4(&path, 1 << 30, &Options::default()).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(made("one") == made("two"));
}
