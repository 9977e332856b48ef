//! Boot files made with the release binaries: `dist/boot` for people, `dist/boot-debug` for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::places;
use crate::process::{command, run, succeeds};

/// Which boot files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What users boot.
    Product,
    /// The same with `BusyBox` in the utility VM.
    Debug,
}

impl Kind {
    fn directory(self) -> &'static str {
        match self {
            Self::Product => "boot",
            Self::Debug => "boot-debug",
        }
    }
}

/// Makes the boot files with the binaries in `dist`, unless those there were made of the same things.
pub(crate) fn make(dist: &Path, kind: Kind) -> Result<PathBuf> {
    let directory = dist.join(kind.directory());
    let stamp = dist.join(format!("{}.made-of", kind.directory()));
    let inputs = inputs(dist);
    let is_current = directory.join("initrd.img").is_file()
        && fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == inputs);
    if is_current {
        return Ok(directory);
    }
    let program = dist.join("uvm-build");
    let mut build = command(&program.to_string_lossy());
    build.args(["default", "-o"]).arg(&directory);
    // The tailored kernel where it was built: a first run should not wait for a compiler.
    let is_tailored = succeeds(command(&program.to_string_lossy()).args(["kernel", "path"]));
    build.args(["--kernel", if is_tailored { "tailored" } else { "debian" }]);
    if kind == Kind::Debug {
        build.arg("--debug");
        if is_tailored {
            // For tests of read-only roots, which other kernels cannot boot.
            build.args(["-f", "lcow", "-f", "vmlinux", "-f", "rootfs-vhd"]);
        }
    }
    run(&mut build).context("cannot make boot files; `cargo xtask setup` downloads the kernel they need")?;
    fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(directory)
}

/// What boot files are made of, as text: a line for each file with its size and age.
fn inputs(dist: &Path) -> String {
    let own = ["uvm-build", "guest-agent", "guest-agent.linked.json"].map(|name| dist.join(name));
    let mut files = vec![PathBuf::from("/bin/busybox")];
    files.extend(own);
    if let Ok(cache) = places::cache() {
        let packages = fs::read_dir(&cache).into_iter().flatten().flatten().map(|entry| entry.path());
        files.extend(packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb")));
        let kernels = fs::read_dir(cache.join("kernel")).into_iter().flatten().flatten();
        files.extend(kernels.map(|entry| entry.path().join("kernel")).filter(|path| path.is_file()));
    }
    files.sort();
    files.iter().map(|file| line(file)).collect()
}

fn line(file: &Path) -> String {
    let Ok(metadata) = fs::metadata(file) else { return format!("{} is missing\n", file.display()) };
    let since = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let nanos = since.unwrap_or_default().as_nanos();
    format!("{} {} {nanos}\n", file.display(), metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_agent_is_noticed() {
        let dist = tempfile::tempdir().unwrap();
        let without = inputs(dist.path());
        assert!(without.contains("guest-agent is missing"), "{without}");
        fs::write(dist.path().join("guest-agent"), "1").unwrap();
        let with = inputs(dist.path());
        assert_ne!(without, with);
        assert_eq!(with, inputs(dist.path()));
    }
}
