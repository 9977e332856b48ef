//! Disk files of every kind, judged by `qemu-img`.
mod support;

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use lcow_disk::ext4::mkfs;
use lcow_disk::image::{Format, Image};
use lcow_disk::vhd::{DynamicWriter, FOOTER_SIZE};
use lcow_disk::vhdx;

/// `None`, with the reason printed, where `qemu-img` is not installed.
fn qemu_img(arguments: &[&str]) -> Option<(bool, String)> {
    let Ok(output) = Command::new("qemu-img").args(arguments).output() else {
        println!("skipped: qemu-img is not installed");
        return None;
    };
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

fn assert_says_yes(arguments: &[&str]) {
    if let Some((ok, said)) = qemu_img(arguments) {
        assert!(ok, "qemu-img {arguments:?}: {said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Data at the start, at the end, and across the blocks' borders.
fn sample(size: u64) -> Vec<(u64, Vec<u8>)> {
    vec![
        (0, vec![1; 5000]),
        ((2 << 20) - 100, vec![2; 300]),
        (7 << 20, vec![3; 1]),
        (size - 777, vec![4; 777]),
    ]
}

fn raw(path: &Path, size: u64) {
    let mut file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (at, bytes) in sample(size) {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&bytes).unwrap();
    }
}

#[test]
fn files_of_qemu_read_as_what_they_were_made_of() {
    let directory = tempfile::tempdir().unwrap();
    let size = 9 << 20;
    let source = directory.path().join("raw");
    raw(&source, size);
    let expected = fs::read(&source).unwrap();
    let formats = [
        ("vpc", "subformat=dynamic,force_size=on", Format::DynamicVhd),
        ("vpc", "subformat=fixed,force_size=on", Format::FixedVhd),
        ("vhdx", "block_size=1048576", Format::Vhdx),
        ("vhdx", "block_size=8388608", Format::Vhdx),
        ("vhdx", "subformat=fixed", Format::Vhdx),
    ];
    for (format, options, found) in formats {
        let path = directory.path().join("image");
        let arguments = ["convert", "-f", "raw", "-O", format, "-o", options, text(&source), text(&path)];
        if qemu_img(&arguments).is_none() {
            return;
        }
        let mut image = Image::open(File::open(&path).unwrap()).unwrap();
        assert_eq!((image.format(), image.size()), (found, size), "{format} {options}");
        let mut read = Vec::new();
        image.read_to_end(&mut read).unwrap();
        assert!(read == expected, "{format} {options}");
    }
    let mut image = Image::open(File::open(&source).unwrap()).unwrap();
    assert_eq!((image.format(), image.size()), (Format::Raw, size));
    image.seek(SeekFrom::End(-1)).unwrap();
    assert_eq!(image.read(&mut [0; 9]).unwrap(), 1);
}

#[test]
fn dynamic_vhds_are_what_qemu_expects() {
    let directory = tempfile::tempdir().unwrap();
    let (source, path) = (directory.path().join("raw"), directory.path().join("made.vhd"));
    let size = (9 << 20) + 512;
    raw(&source, size);
    let mut disk = DynamicWriter::new(File::create(&path).unwrap(), size, [3; 16]).unwrap();
    for (at, bytes) in sample(size) {
        disk.seek(SeekFrom::Start(at)).unwrap();
        disk.write_all(&bytes).unwrap();
    }
    disk.finish().unwrap();
    assert_says_yes(&["compare", "-f", "raw", "-F", "vpc", text(&source), text(&path)]);
    if let Some((_, said)) = qemu_img(&["info", "-f", "vpc", text(&path)]) {
        assert!(said.contains(&format!("({size} bytes)")), "{said}");
    }
    let mut read = Vec::new();
    Image::open(File::open(&path).unwrap()).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == fs::read(&source).unwrap());
    // Without its end, the copy of the footer at the start still tells what it is.
    let whole = fs::read(&path).unwrap();
    let cut = Cursor::new(&whole[..whole.len() - FOOTER_SIZE]);
    assert_eq!(Image::open(cut).unwrap().format(), Format::DynamicVhd);
}

#[test]
fn a_vhdx_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.vhdx");
    vhdx::create_ext4(&path, 1 << 30, &mkfs::Options::default()).unwrap();
    let read = |length: usize| {
        let mut bytes = vec![0; length];
        Image::open(File::open(&path).unwrap()).unwrap().read_exact(&mut bytes).unwrap();
        bytes
    };
    let before = read(1 << 24);
    let mut file = File::options().read(true).write(true).open(&path).unwrap();
    // Within the table, then beyond it.
    for size in [2 << 30, 200 << 30, 3 << 40] {
        vhdx::grow(&mut file, size).unwrap();
        assert_says_yes(&["check", text(&path)]);
        if let Some((_, said)) = qemu_img(&["info", text(&path)]) {
            assert!(said.contains(&format!("({size} bytes)")), "{said}");
        }
        assert_eq!(Image::open(File::open(&path).unwrap()).unwrap().size(), size);
        assert!(read(1 << 24) == before);
    }
    assert!(vhdx::grow(&mut file, 1 << 30).is_err());
    // It can be written at its new end by others.
    if qemu_img(&["resize", text(&path), "4T"]).is_some() {
        assert_says_yes(&["check", text(&path)]);
    }
}

#[test]
fn no_damage_makes_it_panic() {
    use proptest::prelude::*;
    let mut files = Vec::new();
    let mut disk = DynamicWriter::new(Cursor::new(Vec::new()), 5 << 20, [3; 16]).unwrap();
    disk.write_all(&[7; 5000]).unwrap();
    files.push(disk.finish().unwrap().into_inner());
    let mut disk = vhdx::Disk::new(Cursor::new(Vec::new()), 5 << 20, [3; 16]).unwrap();
    disk.write_all(&[7; 5000]).unwrap();
    files.push(disk.finish().unwrap().into_inner());
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20);
    proptest!(ProptestConfig::with_cases(200), |(which in 0..2usize, damage in damage)| {
        let mut bytes = files[which].clone();
        // Where the structures are, not the data.
        let area = if which == 0 { 2048 } else { 4 << 20 };
        for (at, value) in damage {
            let at = at.index(area);
            bytes[at] = value;
        }
        let Ok(image) = Image::open(Cursor::new(bytes)) else { return Ok(()) };
        let _ = image.take(6 << 20).read_to_end(&mut Vec::new());
    });
}
