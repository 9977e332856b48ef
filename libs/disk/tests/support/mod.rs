//! What the tests share: a tar writer that can also write nonsense, and the independent judges.
#![allow(dead_code, unused_imports)]

mod judge;
mod tar;
#[cfg(unix)]
pub(crate) mod tree;

pub(crate) use judge::{Mounted, Union, assert_clean, debugfs, have};
pub(crate) use tar::Tar;

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use lcow_disk::ext4::layer::{LayerError, LayerStats, Options, convert};

/// A disk in a temporary directory.
pub(crate) struct Disk {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) stats: LayerStats,
}

/// Convert with the default options and let `e2fsck` judge the result.
pub(crate) fn disk(tar: &[u8]) -> Disk {
    disk_with(tar, &Options::default())
}

pub(crate) fn disk_with(tar: &[u8], options: &Options) -> Disk {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.img");
    let stats = convert(tar, File::create(&path).unwrap(), options).unwrap();
    assert_clean(&path);
    Disk { directory, path, stats }
}

/// Convert in memory.
pub(crate) fn image(tar: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut out = Cursor::new(Vec::new());
    convert(tar, &mut out, &Options::default())?;
    Ok(out.into_inner())
}

pub(crate) fn run(command: &str, arguments: &[&Path]) -> std::process::Output {
    std::process::Command::new(command).args(arguments).output().unwrap()
}
