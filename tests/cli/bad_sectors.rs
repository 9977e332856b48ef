//! Files that cannot be read to their end: the disk below them has a bad sector.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lcow_oci::Compression;
use lcow_oci::build::LayerBuilder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::disks::Mount;
use crate::home::{Home, image};
use crate::hub::noise;
use crate::server::Server;
use crate::{Test, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("a_blob_that_cannot_be_read_is_said_and_leaves_no_disk", blob),
    plain("an_archive_that_cannot_be_read_is_said_and_leaves_nothing", archive),
];

/// Bytes of the layers here, and the sector that is bad: in their middle.
const SIZE: usize = 4 << 20;
const BAD: usize = SIZE / 2 / 512;

/// A file with the content of another and a sector that cannot be read, for the life of the value.
struct BadFile {
    path: PathBuf,
    server: Pid,
}

impl BadFile {
    /// `None` where such a file cannot be made, which is said.
    fn new(dir: &Path, content: &Path) -> Result<Option<Self>> {
        let (path, pid) = (dir.join("bad"), dir.join("pid"));
        fs::write(&path, "")?;
        let disk = format!(
            "driver=blkdebug,node-name=bad,image.driver=file,image.filename={},image.read-only=on,read-only=on,\
             inject-error.0.event=none,inject-error.0.iotype=read,inject-error.0.errno=5,inject-error.0.sector={BAD}",
            content.display()
        );
        let export = format!("type=fuse,id=bad,node-name=bad,mountpoint={}", path.display());
        // It comes back once the file is there.
        let started = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &disk, "--export", &export, "--daemonize", "--pidfile"])
            .arg(&pid)
            .stderr(Stdio::null())
            .status();
        if !started.is_ok_and(|status| status.success()) {
            println!("skipped: qemu-storage-daemon serves no file here (it takes /dev/fuse)");
            return Ok(None);
        }
        let server = Pid::from_raw(fs::read_to_string(pid)?.trim().parse().context("its pid")?);
        Ok(Some(Self { path, server }))
    }
}

impl Drop for BadFile {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
        let _ = kill(self.server, Signal::SIGTERM);
    }
}

fn layer() -> LayerBuilder {
    let mut layer = LayerBuilder::new();
    layer.file("noise", 0o644, &noise(SIZE, 9));
    layer
}

fn blob(home: &Home) -> Result<()> {
    let (home, dir) = (home.empty()?, tempfile::tempdir()?);
    image("app")?.layer(layer(), Compression::None).write_layout(&dir.path().join("layout"))?;
    let server = Server::start(&dir.path().join("layout"));
    let name = server.name();
    home.lcow(&["pull", "-q", &name])?.well()?;
    home.files("layers", ".vhd")?.iter().try_for_each(fs::remove_file)?;
    let blobs = home.files("images/blobs/sha256", "")?;
    let blob = blobs.iter().max_by_key(|path| path.metadata().map_or(0, |metadata| metadata.len()));
    let blob = blob.context("no blobs")?;
    {
        let Some(bad) = BadFile::new(dir.path(), blob)? else { return Ok(()) };
        let Some(_mount) = Mount::new(&["--bind"], &bad.path, blob)? else { return Ok(()) };
        home.lcow(&["pull", "-q", &name])?.refused(125, &["Input/output error"])?;
        ensure!(home.files("layers", ".vhd")?.is_empty(), "half a disk has a name");
        ensure!(home.files("layers", ".tmp")?.is_empty(), "half a disk is left");
    }
    home.lcow(&["pull", "-q", &name])?.well()?;
    ensure!(home.files("layers", ".vhd")?.len() == 1, "no disk was made");
    Ok(())
}

fn archive(home: &Home) -> Result<()> {
    let (home, dir) = (home.empty()?, tempfile::tempdir()?);
    image("app")?.layer(layer(), Compression::None).write_layout(&dir.path().join("layout"))?;
    home.load_from(&dir.path().join("layout"))?.well()?;
    let saved = dir.path().join("saved.tar");
    home.lcow(&["save", "app", "-o", saved.to_str().context("a path in UTF-8")?])?.well()?;
    let home = home.empty()?;
    let Some(bad) = BadFile::new(dir.path(), &saved)? else { return Ok(()) };
    home.load_from(&bad.path)?.refused(125, &["Input/output error"])?;
    ensure!(home.lcow(&["images", "-q"])?.well()?.text().is_empty(), "half an image has a name");
    ensure!(home.files("images/tmp", "")?.is_empty(), "half a blob is left");
    let out = dir.path().join("out.vhd");
    let mut convert = Command::new(home.beside_lcow("uvm-build")?);
    convert.args(["disk", "tar2ext4", "-i"]).arg(&bad.path).arg("-o").arg(&out);
    let output = crate::lcow::run(convert, b"")?;
    output.refused(1, &["Input/output error"])?;
    ensure!(!out.exists(), "half a disk is left");
    Ok(())
}
