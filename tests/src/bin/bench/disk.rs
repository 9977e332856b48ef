//! Layer disks: conversion beside what else could be done with the same archive, hash trees, scratch disks.
//!
//! Conversion is measured as people get it: the `uvm-build` of the distribution, archive in the page cache.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lcow_disk::ext4::mkfs;
use lcow_disk::tar::{Entry, Writer};
use lcow_disk::{verity, vhdx};
use nix::sys::resource::{UsageWho, getrusage};

use crate::series::Results;

/// An archive and the names of its figures.
struct Case {
    file: &'static str,
    /// Directories, files in each, bytes of a file: `size + file number * step`.
    shape: (u64, u64, u64, u64),
    convert: &'static str,
    cat: &'static str,
    sha256: &'static str,
    /// Unpacked, and made a file system by `mke2fs -d`.
    mke2fs: &'static str,
}

/// The tree is as large as the documentation of a compiler: 700 MB in 50 000 files.
const CASES: [Case; 3] = [
    Case {
        file: "large.tar",
        shape: (1, 1, 512 << 20, 0),
        convert: "layer_large_file_ms",
        cat: "layer_large_file_cat_ms",
        sha256: "layer_large_file_sha256_ms",
        mke2fs: "layer_large_file_mke2fs_ms",
    },
    Case {
        file: "small.tar",
        shape: (500, 100, 100, 0),
        convert: "layer_small_files_ms",
        cat: "layer_small_files_cat_ms",
        sha256: "layer_small_files_sha256_ms",
        mke2fs: "layer_small_files_mke2fs_ms",
    },
    Case {
        file: "tree.tar",
        shape: (500, 100, 1000, 260),
        convert: "layer_tree_ms",
        cat: "layer_tree_cat_ms",
        sha256: "layer_tree_sha256_ms",
        mke2fs: "layer_tree_mke2fs_ms",
    },
];

/// All figures of this module.
pub(crate) fn measure(dist: &Path, runs: usize, results: &mut Results) -> Result<()> {
    let directory = tempfile::tempdir()?;
    for case in &CASES {
        let archive = directory.path().join(case.file);
        pack(&archive, case.shape).context("packing")?;
        let out = directory.path().join("out");
        for _ in 0..runs {
            // The first to write so much pays for memory that others then find at hand: let it be neither of them.
            timed(Command::new("cp").arg(&archive).arg(&out))?;
            fs::remove_file(&out)?;
            let mut convert = Command::new(dist.join("uvm-build"));
            convert.args(["disk", "tar2ext4", "-overlay", "-vhd", "-i"]).arg(&archive).arg("-o").arg(&out);
            results.add(case.convert, timed(&mut convert)?);
            fs::remove_file(&out)?;
            results.add(case.cat, timed(Command::new("cat").arg(&archive).stdout(File::create(&out)?))?);
            fs::remove_file(&out)?;
            results.add(case.sha256, timed(Command::new("sha256sum").arg(&archive).stdout(Stdio::null()))?);
        }
    }
    // The largest of the processes above; `mke2fs`, which needs more, comes after it.
    let children = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    #[allow(clippy::cast_precision_loss)] // Far below 2^52.
    results.add("layer_peak_mb", children.max_rss() as f64 / 1000.0);
    for case in &CASES {
        results.add(case.mke2fs, by_mke2fs(&directory.path().join(case.file), directory.path())?);
    }
    trees(directory.path(), runs, results)?;
    scratch(directory.path(), runs, results)
}

/// Write an archive of numbered files.
fn pack(path: &Path, (directories, files, size, step): (u64, u64, u64, u64)) -> Result<()> {
    let mut tar = Writer::new(BufWriter::new(File::create(path)?));
    for directory in 0..directories {
        tar.append(&Entry::directory(format!("d{directory:03}"), 0o755), std::io::empty())?;
        for file in 0..files {
            let entry = Entry::file(format!("d{directory:03}/f{file:03}"), 0o644, size + file * step);
            tar.append(&entry, std::io::repeat(b'x'))?;
        }
    }
    tar.finish()?.flush()?;
    Ok(())
}

/// Milliseconds that a command takes; it must succeed.
fn timed(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let status = command.status().with_context(|| format!("running {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(milliseconds(start))
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// The same with what every system has.
fn by_mke2fs(archive: &Path, directory: &Path) -> Result<f64> {
    let (root, image) = (directory.join("root"), directory.join("mke2fs.img"));
    fs::create_dir(&root)?;
    let unpacked = timed(Command::new("tar").arg("xf").arg(archive).arg("-C").arg(&root))?;
    let made = timed(
        Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-N", "80000", "-d"])
            .args([&root, &image])
            .arg("2G")
            .stdout(Stdio::null()),
    )?;
    fs::remove_dir_all(&root)?;
    fs::remove_file(&image)?;
    Ok(unpacked + made)
}

/// Hashing 512 MB and writing the tree.
fn trees(directory: &Path, runs: usize, results: &mut Results) -> Result<()> {
    const SIZE: u64 = 512 << 20;
    let mut file = tempfile::tempfile_in(directory)?;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(7), SIZE), &mut file)?;
    for _ in 0..runs {
        let start = Instant::now();
        verity::append(&mut file, SIZE, [1; 16])?;
        #[allow(clippy::cast_precision_loss)] // Far below 2^52.
        results.add("verity_mb_s", SIZE as f64 / 1000.0 / milliseconds(start));
    }
    Ok(())
}

fn scratch(directory: &Path, runs: usize, results: &mut Results) -> Result<()> {
    let path: PathBuf = directory.join("scratch");
    for _ in 0..runs {
        for (raw, vhdx_name, size) in [
            ("scratch_20g_ms", "scratch_20g_vhdx_ms", 20 << 30),
            ("scratch_2t_ms", "scratch_2t_vhdx_ms", 2 << 40),
        ] {
            let start = Instant::now();
            mkfs::create(&path, size, &mkfs::Options::default())?;
            results.add(raw, milliseconds(start));
            fs::remove_file(&path)?;
            let start = Instant::now();
            vhdx::create_ext4(&path, size, &mkfs::Options::default())?;
            results.add(vhdx_name, milliseconds(start));
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
