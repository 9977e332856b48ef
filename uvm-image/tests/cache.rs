//! `uvm-build cache` as people call it; archives come from and go to another tool.

mod support;

use std::fs::{self, File};
#[cfg(unix)]
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder, write_layout};
use serde_json::Value;
use support::uvm_build;

struct Bench(tempfile::TempDir);

impl Bench {
    /// With an OCI layout of the image `me/app:1`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = LayerBuilder::new();
        layer.file("hello", 0o644, b"hello from the cache");
        let platform = "linux/amd64".parse().unwrap();
        let image = ImageBuilder::new("me/app:1".parse().unwrap()).platform(platform);
        image.layer(layer, Compression::Gzip).write_layout(&dir.path().join("layout")).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = uvm_build(self.path());
        command.args(words);
        command
    }

    fn cache(&self, words: &[&str]) -> Output {
        self.command(&[&["cache"], words].concat()).output().unwrap()
    }

    /// What it says when all is well.
    fn well(&self, words: &[&str]) -> String {
        let output = self.cache(words);
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn refused(&self, words: &[&str], reason: &str) {
        let output = self.cache(words);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(reason), "{words:?}: {said}");
    }

    fn list(&self) -> Value {
        serde_json::from_str(&self.well(&["ls", "--json"])).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let list = self.list();
        let names = list["images"].as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }

    /// Runs a tool here; `false` if it is not there, which is said.
    fn tool(&self, program: &str, words: &[&str]) -> bool {
        let Ok(output) = Command::new(program).args(words).current_dir(self.path()).output() else {
            println!("skipped: {program} is not installed");
            return false;
        };
        assert!(output.status.success(), "{program} {words:?}: {}", text(&output.stderr));
        true
    }

    /// A description of the image is built with no more than the cache.
    fn builds(&self, more: &[&str]) {
        fs::write(self.path().join("x.yml"), "init: [me/app:1]\n").unwrap();
        let output = self.command(&[&["build", "x.yml", "-f", "tar"], more].concat()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let hello = Command::new("tar").arg("-xOf").arg(self.path().join("x.tar")).arg("hello").output();
        assert_eq!(hello.unwrap().stdout, b"hello from the cache");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_docker_saves_is_imported_and_built_with() {
    let bench = Bench::new();
    let archive = "docker-archive:saved.tar:docker.io/me/app:1";
    if !bench.tool("skopeo", &["copy", "--quiet", "oci:layout:1", archive]) {
        return;
    }
    let mut import = bench.command(&["cache", "import", "-"]);
    let output = import.stdin(File::open(bench.path().join("saved.tar")).unwrap()).output().unwrap();
    assert_eq!(text(&output.stdout), "docker.io/me/app:1\n", "{}", text(&output.stderr));
    bench.builds(&[]);
    // The same archive as a source of its own.
    bench.well(&["clean", "--all"]);
    assert!(bench.names().is_empty());
    bench.builds(&["--cache", "saved.tar"]);
}

#[test]
fn what_is_exported_others_can_read_and_we_again() {
    let bench = Bench::new();
    bench.well(&["import", "layout"]);
    for (format, kind) in [("docker", "docker-archive"), ("oci", "oci-archive")] {
        let file = format!("{format}.tar");
        assert_eq!(bench.well(&["export", "me/app:1", "-o", &file, "--format", format]), "");
        if !bench.tool("skopeo", &["inspect", "--raw", &format!("{kind}:{file}")]) {
            return;
        }
        bench.well(&["rm", "me/app:1"]);
        assert_eq!(bench.well(&["import", &file]), "docker.io/me/app:1\n");
        bench.builds(&[]);
    }
    // Standard output has the same bytes.
    let piped = bench.cache(&["export", "me/app:1"]);
    assert!(piped.stdout == fs::read(bench.path().join("docker.tar")).unwrap());
    // Members that begin with `./`, as tar makes them of a directory.
    assert!(bench.tool("tar", &["-C", "layout", "-cf", "dots.tar", "."]));
    bench.well(&["clean", "--all"]);
    assert_eq!(bench.well(&["import", "dots.tar"]), "docker.io/me/app:1\n");
    assert_eq!(bench.well(&["import", "--name", "other", "dots.tar"]), "docker.io/library/other:latest\n");
}

#[test]
fn the_list_says_what_is_there_and_rm_and_clean_take_it_away() {
    let bench = Bench::new();
    let kernels = bench.path().join("kept/kernel");
    for key in ["0123456789abcdef", "fedcba9876543210"] {
        fs::create_dir_all(kernels.join(key)).unwrap();
        fs::write(kernels.join(key).join("kernel"), [0; 1000]).unwrap();
    }
    bench.well(&["import", "layout"]);
    bench.well(&["import", "--name", "kept/image", "layout"]);
    let list = bench.list();
    assert_eq!(list["images"][0]["name"], "docker.io/kept/image:latest");
    assert_eq!(list["images"][0]["platform"], "linux/amd64");
    let blobs = || {
        let blobs = fs::read_dir(bench.path().join("kept/uvm-build/images/blobs/sha256")).unwrap();
        blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).collect::<Vec<_>>()
    };
    // All but the manifest.
    let size = list["images"][0]["size"].as_u64().unwrap();
    assert!(size > 0 && size < blobs().iter().sum(), "{size} {:?}", blobs());
    assert_eq!(
        list["kernels"][1],
        serde_json::json!({"key": "fedcba9876543210", "version": null, "size": 1000, "used": false})
    );
    let shown = bench.well(&["ls"]);
    assert!(shown.contains("me/app:1") && shown.contains("0123456789abcdef  (damaged)"), "{shown}");

    bench.refused(&["rm", "nothing", "0123"], "neither an image nor a kernel nothing");
    assert!(!kernels.join("0123456789abcdef").exists(), "one failure does not save the others");
    assert_eq!(bench.well(&["rm", "me/app:1"]), "image docker.io/me/app:1\n");
    assert_eq!(blobs().len(), 3, "the other name needs them");
    let stray = "0".repeat(64);
    fs::write(bench.path().join("kept/uvm-build/images/blobs/sha256").join(&stray), [0; 5000]).unwrap();
    let cleaned = bench.well(&["clean"]);
    assert_eq!(cleaned, "removed: 1 kernels, 1 files of images; 6.0 kB are free again\n");
    assert_eq!((bench.names(), blobs().len()), (vec!["docker.io/kept/image:latest".to_owned()], 3));
    bench.well(&["clean", "--all"]);
    assert!(bench.names().is_empty() && blobs().is_empty());
}

#[test]
fn mistakes_are_explained() {
    let bench = Bench::new();
    bench.refused(&["import", "absent"], "absent");
    fs::write(bench.path().join("junk"), "junk").unwrap();
    bench.refused(&["import", "junk"], "junk");
    bench.refused(&["import", "--platform", "linux/arm64", "layout"], "only for linux/amd64");
    bench.refused(&["export", "me/app:1", "-o", "out.tar"], "me/app:1");
    assert!(!bench.path().join("out.tar").exists());
    bench.well(&["import", "layout"]);
    bench.refused(&["export", "me/app:1", "-o", "no/such/out.tar"], "no/such/out.tar");
    assert_eq!(bench.cache(&["import", "--platform", "linux", "layout"]).status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn an_interrupted_import_leaves_nothing_behind() {
    let bench = Bench::new();
    let mut import = bench.command(&["cache", "import", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    // More than a pipe holds: when it has been taken, some of it is in a file.
    import.stdin.as_mut().unwrap().write_all(&vec![0; 1 << 20]).unwrap();
    let kept = || {
        let entries = fs::read_dir(bench.path().join("kept/uvm-build")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(kept().len(), 2, "nothing to leave behind");
    assert!(Command::new("kill").args(["-INT", &import.id().to_string()]).status().unwrap().success());
    assert_eq!(import.wait().unwrap().code(), Some(130));
    assert_eq!(kept(), ["images"]);
}

#[test]
fn images_for_other_machines_are_left_out_and_named() {
    let bench = Bench::new();
    let image = |name: &str, platform: &str| {
        let mut layer = LayerBuilder::new();
        layer.file("f", 0o644, name.as_bytes());
        let image = ImageBuilder::new(name.parse().unwrap()).platform(platform.parse().unwrap());
        image.layer(layer, Compression::Gzip)
    };
    let both = vec![image("me/arm:1", "linux/arm64"), image("me/amd:1", "linux/amd64")];
    write_layout(&bench.path().join("both"), both).unwrap();
    let output = bench.cache(&["import", "both"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "docker.io/me/amd:1\n");
    assert_eq!(
        text(&output.stderr),
        "uvm-build: left out: me/arm:1 is not for linux/amd64, only for linux/arm64\n"
    );
    assert_eq!(bench.names(), ["docker.io/me/amd:1"]);
    write_layout(&bench.path().join("arm"), vec![image("me/arm:1", "linux/arm64")]).unwrap();
    bench.refused(&["import", "arm"], "me/arm:1 is not for linux/amd64");
}
