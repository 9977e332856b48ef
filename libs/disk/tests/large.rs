//! Files that are larger than tar's own fields can say.
#![cfg(unix)]
mod support;

use std::os::unix::fs::{FileExt, MetadataExt};

use support::{Mounted, Tar, disk};

/// Beyond what eleven and twelve octal digits hold: 8 and 64 GiB.
const SIZE: u64 = (70 << 30) + 100_000;
const RUNS: [(u64, u64); 3] = [(0, 10), ((66 << 30) + 5, 20), (SIZE - 3, 3)];

/// A number in twelve bytes: GNU's binary form, which starts with a set bit.
fn binary(number: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[4..].copy_from_slice(&number.to_be_bytes());
    field[0] = 0x80;
    field
}

#[test]
fn files_over_64_gib_arrive_in_every_sparse_form() {
    let data: Vec<u8> = (1..=33).collect();
    let map = RUNS.map(|(offset, length)| format!("{offset},{length}")).join(",");
    let lines = RUNS.map(|(offset, length)| format!("{offset}\n{length}\n")).concat();
    let size = SIZE.to_string();
    let mut tar = Tar::new();
    for (offset, length) in RUNS {
        tar.pax("GNU.sparse.offset", offset.to_string().as_bytes());
        tar.pax("GNU.sparse.numbytes", length.to_string().as_bytes());
    }
    tar.pax("GNU.sparse.size", size.as_bytes()).pax("GNU.sparse.numblocks", b"3").file("pax-0.0", &data);
    tar.pax("GNU.sparse.map", map.as_bytes()).pax("GNU.sparse.size", size.as_bytes()).file("pax-0.1", &data);
    let mut with_map = format!("{}\n{lines}", RUNS.len()).into_bytes();
    with_map.resize(512, 0);
    with_map.extend_from_slice(&data);
    tar.pax("GNU.sparse.major", b"1").pax("GNU.sparse.minor", b"0");
    tar.pax("GNU.sparse.realsize", size.as_bytes()).file("pax-1.0", &with_map);
    let mut old = tar.header("gnu", b'S', 0o644, "", data.len(), (0, 0));
    for (slot, (offset, length)) in RUNS.into_iter().enumerate() {
        let at = 386 + slot * 24;
        old[at..at + 24].copy_from_slice(&[binary(offset), binary(length)].concat());
    }
    old[483..495].copy_from_slice(&binary(SIZE));
    tar.raw(old, &data);
    let disk = disk(&tar.finish());
    assert!(disk.stats.file_system_bytes < 1 << 20, "holes take room");
    let Some(mount) = Mounted::new(&disk.path, "ro") else { return };
    for name in ["pax-0.0", "pax-0.1", "pax-1.0", "gnu"] {
        let file = std::fs::File::open(mount.path(name)).unwrap();
        assert_eq!(file.metadata().unwrap().size(), SIZE, "{name}");
        let mut found = Vec::new();
        for (offset, length) in RUNS {
            let mut run = vec![0; usize::try_from(length).unwrap()];
            file.read_exact_at(&mut run, offset).unwrap();
            found.extend(run);
        }
        assert_eq!(found, data, "{name}");
        let mut hole = [1; 5];
        file.read_exact_at(&mut hole, 66 << 30).unwrap();
        assert_eq!(hole, [0; 5], "{name}");
    }
}
