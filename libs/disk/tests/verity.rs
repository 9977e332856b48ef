//! Trees of hashes, judged by `veritysetup`.
mod support;

use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};
use std::process::Command;

use lcow_disk::ext4::layer::{Options, convert};
use lcow_disk::verity::{self, VerityError};
use lcow_disk::vhd;
use support::{Tar, assert_clean};

/// `blocks` blocks that differ from each other.
fn data(blocks: u64) -> Vec<u8> {
    (0..blocks * 4096 / 8).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()).collect()
}

fn judge(disk: &std::path::Path, data_bytes: u64, root: &str) -> Option<bool> {
    let offset = format!("--hash-offset={data_bytes}");
    let Ok(output) =
        Command::new("veritysetup").arg("verify").args([disk, disk]).args([root, &offset]).output()
    else {
        println!("skipped: veritysetup is not installed");
        return None;
    };
    Some(output.status.success())
}

#[test]
fn veritysetup_verifies_trees_of_every_height() {
    // One block, one level full and not, two levels, more than one batch.
    for blocks in [1, 2, 127, 128, 129, 1024, 1025, 128 * 128, 128 * 128 + 1] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes = data(blocks);
        file.write_all(&bytes).unwrap();
        let size = bytes.len() as u64;
        let made = verity::append(file.as_file_mut(), size, [9; 16]).unwrap();
        assert_eq!(made.end, file.as_file().metadata().unwrap().len(), "{blocks} blocks");
        let root = made.root.to_string();
        assert_ne!(judge(file.path(), size, &root), Some(false), "{blocks} blocks");
        assert_ne!(judge(file.path(), size, &root.replace(&root[..1], "0").replace('f', "e")), Some(true));
        assert_eq!(verity::check(file.as_file_mut(), size).unwrap(), made);
    }
}

#[test]
fn what_was_changed_is_noticed() {
    const SIZE: usize = 300 * 4096;
    let size = SIZE as u64;
    let mut disk = Cursor::new(data(300));
    verity::append_with_salt(&mut disk, size, [9; 16], &[0; 32]).unwrap();
    let whole = disk.into_inner();
    for at in [0, SIZE - 1, SIZE + 4096, SIZE + 2 * 4096, whole.len() - 4096] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let error = verity::check(&mut Cursor::new(damaged), size).unwrap_err();
        assert!(matches!(error, VerityError::Mismatch { .. }), "byte {at}: {error}");
    }
    let mut nothing = Cursor::new(data(3));
    assert!(matches!(verity::read(&mut nothing, 4096), Err(VerityError::Missing { at: 4096 })));
}

#[test]
fn a_layer_disk_carries_its_tree() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.vhd");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let tar = Tar::new().file("a", &data(50)).finish();
    let stats = convert(tar.as_slice(), &mut file, &Options::default()).unwrap();
    let tree = verity::append(&mut file, stats.file_system_bytes, stats.uuid).unwrap();
    vhd::append_footer(&mut file, tree.end, stats.uuid).unwrap();
    assert_clean(&path);
    let root = tree.root.to_string();
    assert_ne!(judge(&path, stats.file_system_bytes, &root), Some(false));
    assert_eq!(verity::read(&mut file, stats.file_system_bytes).unwrap(), tree);
    file.seek(std::io::SeekFrom::End(-512)).unwrap();
    let mut footer = [0; 512];
    file.read_exact(&mut footer).unwrap();
    assert_eq!(vhd::Footer::parse(&footer).unwrap().size, tree.end);
}
