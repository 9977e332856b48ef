//! The image `busybox`, made of the distribution's static `BusyBox`: nothing depends on a public registry.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};

/// From the package busybox-static.
const BUSYBOX: &str = "/bin/busybox";

/// Writes an OCI image layout with the image `busybox` to `directory`, which is made if need be.
pub fn write_busybox(directory: &Path) -> Result<()> {
    let program = std::fs::read(BUSYBOX)
        .with_context(|| format!("cannot read {BUSYBOX}; `cargo xtask setup` installs busybox-static"))?;
    let names =
        Command::new(BUSYBOX).arg("--list").output().with_context(|| format!("cannot run {BUSYBOX}"))?;
    ensure!(names.status.success(), "{BUSYBOX} --list failed with {}", names.status);
    let mut root = LayerBuilder::new();
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "usr", "var"] {
        root.directory(name, 0o755);
    }
    root.directory("tmp", 0o1777).file("bin/busybox", 0o755, &program);
    for name in String::from_utf8(names.stdout)?.lines().filter(|name| *name != "busybox") {
        root.symlink(&format!("bin/{name}"), "busybox");
    }
    root.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )
    .file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    ImageBuilder::new("busybox".parse()?)
        .layer(root, Compression::Gzip)
        .cmd(["sh"])
        .write_layout(directory)
        .with_context(|| format!("cannot write the image to {}", directory.display()))?;
    Ok(())
}
