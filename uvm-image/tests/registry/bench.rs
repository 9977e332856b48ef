//! A directory with an image, and the builds of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};

use crate::hub::noise;
use crate::support::uvm_build;

/// A directory with a layout of one image, whose only layer has half a megabyte.
pub(crate) struct Bench(tempfile::TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = LayerBuilder::new();
        layer.directory("bin", 0o755).file("bin/x", 0o755, &noise(500_000, 3));
        let platform = "linux/amd64".parse().unwrap();
        let image =
            ImageBuilder::new("app".parse().unwrap()).platform(platform).layer(layer, Compression::Gzip);
        image.write_layout(&dir.path().join("layout")).unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of the layer's blob at a registry.
    pub(crate) fn layer(&self) -> String {
        let blobs = fs::read_dir(self.path().join("layout/blobs/sha256")).unwrap().map(Result::unwrap);
        let layer = blobs.max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
        format!("blobs/sha256:{}", layer.file_name().to_string_lossy())
    }

    /// Digest of the layer's blob.
    pub(crate) fn digest(&self) -> String {
        self.layer().replace("blobs/", "")
    }

    /// The next builds know an account at `registry`.
    pub(crate) fn login(&self, registry: &str, user: &str, password: &str) {
        let account = format!(r#"{{"username": "{user}", "password": "{password}"}}"#);
        fs::write(self.path().join("config.json"), format!(r#"{{"auths": {{"{registry}": {account}}}}}"#))
            .unwrap();
    }

    /// Builds a root of the image called `name`, which is pulled.
    pub(crate) fn build(&self, name: &str) -> Output {
        self.command(name, &["--pull", "--progress", "plain"]).output().unwrap()
    }

    /// The command that builds such a root.
    pub(crate) fn command(&self, name: &str, more: &[&str]) -> Command {
        fs::write(self.path().join("x.yml"), format!("init: [\"{name}\"]\n")).unwrap();
        let mut command = uvm_build(self.path());
        command.args(["build", "x.yml", "-f", "tar"]).args(more).env("DOCKER_CONFIG", self.path());
        command.env("TMPDIR", self.path().join("tmp"));
        command
    }

    /// It succeeds; gives what it said.
    pub(crate) fn built(&self, name: &str) -> String {
        let output = self.build(name);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let tar =
            Command::new("tar").arg("-xOf").arg(self.path().join("x.tar")).arg("bin/x").output().unwrap();
        assert!(tar.stdout == noise(500_000, 3), "{}", text(&tar.stderr));
        fs::remove_file(self.path().join("x.tar")).unwrap();
        text(&output.stderr)
    }

    /// It fails with these words, and leaves no output.
    pub(crate) fn refused(&self, name: &str, words: &[&str]) {
        let output = self.build(name);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!self.path().join("x.tar").exists());
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
