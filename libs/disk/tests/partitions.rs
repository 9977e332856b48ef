//! Partition tables and EFI system partitions, judged by `sgdisk`, `sfdisk`, `fsck.fat` and mtools.
mod support;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use lcow_disk::fat::{self, FatError, File};
use lcow_disk::gpt::{self, GptError, Table, Wanted};

/// Output of a judge; `None`, with the reason printed, where it is not installed.
fn judge(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        println!("skipped: {program} is not installed");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn stored(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn wanted(count: usize) -> Vec<Wanted<'static>> {
    let part = |n: usize| Wanted {
        kind: gpt::LINUX_DATA,
        name: "layer",
        bytes: 4096 * (1 + n as u64),
        identity: b"x",
    };
    (0..count).map(part).collect()
}

#[test]
fn tools_find_every_partition() {
    for count in [0, 1, 3, 128, 130, 250] {
        let table = Table::plan(&wanted(count)).unwrap();
        let mut disk = Cursor::new(Vec::new());
        table.write(&mut disk).unwrap();
        assert_eq!(disk.get_ref().len() as u64, table.disk_bytes());
        assert_eq!(Table::read(&mut disk).unwrap(), table);
        let (_directory, path) = stored(disk.get_ref());
        if let Some((ok, said)) = judge("sgdisk", &["-v", text(&path)]) {
            assert!(ok && said.contains("No problems found"), "{count}: {said}");
        }
        if let Some((ok, said)) = judge("sfdisk", &["--verify", text(&path)]) {
            assert!(ok, "{count}: {said}");
        }
        if let Some((_, said)) = judge("sfdisk", &["-d", text(&path)]) {
            assert_eq!(said.matches("type=0FC63DAF-8483-4772-8E79-3D69D8477DE4").count(), count, "{said}");
            for part in &table.partitions {
                assert!(said.contains(&part.id.to_string().to_uppercase()), "{said}");
            }
        }
    }
}

#[test]
fn the_second_copy_stands_in_for_the_first() {
    let table = Table::plan(&wanted(2)).unwrap();
    let mut disk = Cursor::new(Vec::new());
    table.write(&mut disk).unwrap();
    let whole = disk.into_inner();
    for at in [512, 512 + 60, 1024 + 40] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        assert_eq!(Table::read(&mut Cursor::new(&damaged)).unwrap(), table, "byte {at}");
        let end = damaged.len() - 512;
        damaged[end] ^= 0xff;
        assert!(matches!(Table::read(&mut Cursor::new(damaged)), Err(GptError::Missing { .. })));
    }
}

#[test]
fn an_efi_system_partition_passes_its_judges() {
    let large: Vec<u8> = (0..9_000_001u32).map(|n| (n % 251) as u8).collect();
    let long = format!("EFI/{}/{}.efi", "d".repeat(200), "naïve name with blanks ".repeat(8));
    let files = [
        File { path: "EFI/BOOT/BOOTX64.EFI", data: &large },
        File { path: "EFI/BOOT/grub.configuration", data: b"timeout=0" },
        File { path: &long, data: b"long" },
        File { path: "empty", data: b"" },
        File { path: "initrd.img", data: &large[..4097] },
    ];
    let smallest = fat::smallest(&files).unwrap();
    for size in [smallest, 64 << 20, 300 << 20] {
        let mut disk = Cursor::new(Vec::new());
        fat::write(&mut disk, size, "lcow", &files).unwrap();
        assert_eq!(disk.get_ref().len() as u64, size);
        let (directory, path) = stored(disk.get_ref());
        if let Some((ok, said)) = judge("fsck.fat", &["-n", "-v", text(&path)]) {
            assert!(ok && said.contains("32 bit entries") && !said.contains("differ"), "{said}");
        }
        for file in &files {
            let out = directory.path().join("out");
            let source = format!("::/{}", file.path);
            let Some((ok, said)) = judge("mcopy", &["-n", "-o", "-i", text(&path), &source, text(&out)])
            else {
                break;
            };
            assert!(ok, "{}: {said}", file.path);
            assert!(fs::read(&out).unwrap() == file.data, "{}", file.path);
        }
    }
    let mut disk = Cursor::new(Vec::new());
    let error = fat::write(&mut disk, smallest - (1 << 20), "", &files).unwrap_err();
    assert!(matches!(error, FatError::TooSmall { needed, .. } if needed == smallest), "{error}");
}

#[test]
fn large_payloads_grow_the_smallest_size() {
    let data = vec![1; 70 << 20];
    let files = [File { path: "a", data: &data }];
    let size = fat::smallest(&files).unwrap();
    assert!((70 << 20..74 << 20).contains(&size), "{size}");
    let twice = [File { path: "a", data: b"" }, File { path: "A", data: b"" }];
    assert!(fat::smallest(&twice).is_err());
}
