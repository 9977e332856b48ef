//! `uvm-build disk` on trees that people have, and full disks.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lcow_oci::Compression;
use lcow_oci::build::LayerBuilder;
use lcow_tests::debian::Root;

use crate::home::{Home, image};
use crate::{Test, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("a_debian_root_is_what_tar_says", a_debian_root_is_what_tar_says),
    plain("a_rust_toolchain_is_what_tar_says", a_rust_toolchain_is_what_tar_says),
    plain("a_kernel_source_is_what_tar_says", a_kernel_source_is_what_tar_says),
    plain("a_full_disk_is_said_and_leaves_nothing", a_full_disk_is_said_and_leaves_nothing),
];

/// A file system mounted for the life of the value.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `None` where mounting is not allowed, which is said.
    pub(crate) fn new(arguments: &[&str], what: &Path, at: &Path) -> Result<Option<Self>> {
        if !at.exists() {
            fs::create_dir_all(at)?;
        }
        let status =
            Command::new("mount").args(arguments).arg(what).arg(at).stderr(Stdio::null()).status()?;
        if !status.success() {
            println!("skipped: {} cannot be mounted here", what.display());
            return Ok(None);
        }
        Ok(Some(Self(at.to_owned())))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Converts `archive` and has e2fsck, the kernel and GNU tar compare disk and archive: contents, modes, owners, times.
fn compare(home: &Home, archive: &Path, dir: &Path) -> Result<()> {
    let disk = dir.join("disk");
    let status = Command::new(home.beside_lcow("uvm-build")?)
        .args(["disk", "tar2ext4", "-o"])
        .arg(&disk)
        .stdin(File::open(archive)?)
        .status()?;
    ensure!(status.success(), "tar2ext4: {status}");
    let check = Command::new("e2fsck").arg("-fn").arg(&disk).output()?;
    ensure!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let Some(mount) = Mount::new(&["-o", "loop,ro", "-t", "ext4"], &disk, &dir.join("mnt"))? else {
        return Ok(());
    };
    let differences =
        Command::new("tar").arg("--compare").arg("--file").arg(archive).arg("-C").arg(&mount.0).output()?;
    let text = String::from_utf8_lossy(&differences.stdout);
    ensure!(differences.status.success(), "{}{}", text, String::from_utf8_lossy(&differences.stderr));
    Ok(())
}

fn a_debian_root_is_what_tar_says(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    match lcow_tests::debian::root()? {
        Root::Tar(archive) => compare(home, &archive, dir.path()),
        Root::Missing(reason) => {
            println!("skipped: {reason}");
            Ok(())
        }
    }
}

fn a_rust_toolchain_is_what_tar_says(home: &Home) -> Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().context("rustc")?;
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout)?.trim());
    let dir = tempfile::tempdir()?;
    let archive = dir.path().join("tar");
    let status = Command::new("tar").arg("-C").arg(&sysroot).arg("-cf").arg(&archive).arg(".").status()?;
    ensure!(status.success(), "tar: {status}");
    compare(home, &archive, dir.path())
}

fn a_kernel_source_is_what_tar_says(home: &Home) -> Result<()> {
    let Some(package) = kernel_source() else {
        println!("skipped: there is no linux-source package in the cache (`cargo xtask kernel`)");
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let unpack = format!(
        "set -e; dpkg-deb --fsys-tarfile '{}' | tar -xf - --to-stdout --wildcards './usr/src/*.tar.xz' | xz -dc > '{}'",
        package.display(),
        dir.path().join("tar").display()
    );
    let status = Command::new("sh").args(["-c", &unpack]).status()?;
    ensure!(status.success(), "unpacking {}: {status}", package.display());
    compare(home, &dir.path().join("tar"), dir.path())
}

fn kernel_source() -> Option<PathBuf> {
    let entries = fs::read_dir(lcow_tests::debian::cache()?).ok()?.flatten();
    entries
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("linux-source-")))
}

fn a_full_disk_is_said_and_leaves_nothing(home: &Home) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = dir.path().join("small");
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=24m"], Path::new("tmpfs"), &place)? else {
        return Ok(());
    };
    let small = home.elsewhere(&mount.0)?;
    let before = tree(&small.path())?;
    let layout = dir.path().join("layout");
    let mut noise = vec![0; 40 << 20];
    std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut noise)?;
    let mut layer = LayerBuilder::new();
    layer.file("noise", 0o644, &noise);
    image("large")?.layer(layer, Compression::None).write_layout(&layout)?;
    let output = small.load_from(&layout)?;
    ensure!(output.status != 0 && output.stderr.contains("No space left"), "{output:?}");
    ensure!(output.stderr.lines().count() == 1, "{output:?}");
    ensure!(tree(&small.path())? == before, "left behind: {:?}", tree(&small.path())?);
    ensure!(small.lcow(&["images", "-q"])?.well()?.text().lines().count() == 1, "the first image is gone");
    Ok(())
}

/// Every file with its size, locks and the index's age aside.
fn tree(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir)? {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type()))?;
            if kind?.is_dir() {
                todo.push(path);
            } else {
                let len = path.metadata()?.len();
                files.push((path, len));
            }
        }
    }
    files.sort();
    Ok(files)
}
