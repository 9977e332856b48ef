//! A home for `lcow` with an image in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::model::RunConfig;
use lcow_oci::{Compression, Platform};
use tempfile::TempDir;

use crate::lcow::{Background, Output, Programs, run, with};

/// Names under which `BusyBox` is found in the image.
const APPLETS: [&str; 26] = [
    "sh",
    "cat",
    "echo",
    "id",
    "sleep",
    "true",
    "false",
    "ls",
    "stty",
    "env",
    "head",
    "tail",
    "wc",
    "dd",
    "kill",
    "sha256sum",
    "hostname",
    "touch",
    "grep",
    "nproc",
    "pwd",
    "test",
    "mkdir",
    "rm",
    "sync",
    "printf",
];

/// A home that goes with the value.
#[derive(Debug)]
pub(crate) struct Home {
    programs: Programs,
    path: PathBuf,
    /// Present where it is ours to remove.
    _directory: Option<TempDir>,
}

impl Home {
    /// A home with the image `busybox`, if there is an `lcow` to load it with.
    pub(crate) fn new(programs: Programs) -> Result<Self> {
        let home = Self::in_temporary(programs)?;
        if home.programs.lcow.is_some() {
            home.load(image("busybox")?.layer(busybox_root()?, Compression::Gzip).cmd(["sh"]))?;
        }
        Ok(home)
    }

    /// An empty home for one test.
    pub(crate) fn empty(&self) -> Result<Self> {
        Self::in_temporary(self.programs.clone())
    }

    fn in_temporary(programs: Programs) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        Ok(Self { programs, path: directory.path().join("home"), _directory: Some(directory) })
    }

    /// A home in `directory` with the image `busybox`.
    pub(crate) fn elsewhere(&self, directory: &Path) -> Result<Self> {
        let home = Self { programs: self.programs.clone(), path: directory.join("home"), _directory: None };
        home.load(image("busybox")?.layer(busybox_root()?, Compression::Gzip).cmd(["sh"]))?;
        Ok(home)
    }

    /// What `lcow` keeps.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// `lcow` with these words.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        with(self.programs.command(&self.path()), words)
    }

    /// Another program of ours.
    pub(crate) fn beside_lcow(&self, name: &str) -> Result<PathBuf> {
        Ok(self.programs.lcow.as_ref().context("no lcow")?.with_file_name(name))
    }

    /// Runs `lcow` with these words.
    pub(crate) fn lcow(&self, words: &[&str]) -> Result<Output> {
        run(self.command(words), &[])
    }

    /// Runs a shell script in a container that is removed afterwards.
    pub(crate) fn script(&self, flags: &[&str], script: &str) -> Result<Output> {
        self.lcow(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
    }

    /// Runs a shell script in a container of another image.
    pub(crate) fn script_in(&self, image: &str, script: &str) -> Result<Output> {
        self.lcow(&["run", "--rm", image, "sh", "-c", script])
    }

    /// Starts `lcow` with these words.
    pub(crate) fn background(&self, words: &[&str]) -> Result<Background> {
        Background::start(self.command(words))
    }

    /// Loads an image.
    pub(crate) fn load(&self, image: ImageBuilder) -> Result<Output> {
        let layout = tempfile::tempdir()?;
        image.write_layout(layout.path())?;
        self.load_from(layout.path())?.well()
    }

    /// Loads what is in a directory.
    pub(crate) fn load_from(&self, layout: &Path) -> Result<Output> {
        self.lcow(&["load", layout.to_str().context("a path in UTF-8")?])
    }

    /// Files of a part of the home that end so.
    pub(crate) fn files(&self, part: &str, end: &str) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.path().join(part))? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(end) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// An image for this machine.
pub(crate) fn image(name: &str) -> Result<ImageBuilder> {
    Ok(ImageBuilder::new(name.parse()?))
}

/// An image for another machine.
pub(crate) fn foreign_image(name: &str, os: &str, architecture: &str) -> Result<ImageBuilder> {
    let platform = Platform { os: os.into(), architecture: architecture.into(), variant: None };
    Ok(image(name)?.platform(platform).layer(LayerBuilder::new(), Compression::None))
}

/// How an image is run.
pub(crate) fn run_config(entrypoint: &[&str]) -> RunConfig {
    RunConfig { entrypoint: entrypoint.iter().map(ToString::to_string).collect(), ..RunConfig::default() }
}

/// The host's static `BusyBox`.
pub(crate) fn busybox() -> Result<Vec<u8>> {
    std::fs::read("/bin/busybox").context("the package busybox-static is needed")
}

pub(crate) fn busybox_root() -> Result<LayerBuilder> {
    let mut root = LayerBuilder::new();
    for directory in ["bin", "dev", "etc", "proc", "sys"] {
        root.directory(directory, 0o755);
    }
    root.directory("tmp", 0o1777).file("bin/busybox", 0o755, &busybox()?);
    for applet in APPLETS {
        root.symlink(&format!("bin/{applet}"), "busybox");
    }
    root.file("etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\nweb:x:1000:50::/:\n");
    root.file("etc/group", 0o644, b"root:x:0:\nvideo:x:44:\n");
    Ok(root)
}
