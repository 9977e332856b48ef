//! What `uvm-build` says to input that cannot be used: which file or word it is, and why, and that it has written nothing.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lcow_oci::Compression;
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use support::uvm_build;

/// Words, exit status, and what is said.
type Case = (&'static [&'static str], i32, &'static [&'static str]);

const DESCRIPTIONS: &[Case] = &[
    (&["build", "absent.yml"], 1, &["cannot read absent.yml: No such file"]),
    (&["build", "directory"], 1, &["cannot read directory: Is a directory"]),
    (&["build", "bracket.yml"], 1, &["bracket.yml:1:7: unclosed bracket"]),
    (&["build", "tab.yml"], 1, &["tab.yml:2:11:", "found a tab"]),
    (&["build", "key.yml"], 1, &["key.yml:2:1: (root): Additional property initt is not allowed"]),
    (&["build", "binary"], 1, &["cannot read binary", "UTF-8"]),
    (&["build", "empty"], 1, &["empty:1:1: there is nothing in it"]),
    (&["build", "ok.yml", "-f", "iso"], 2, &["there is no format iso; there are lcow, vmlinux"]),
    (&["build", "ok.yml", "--arch", "sparc"], 1, &["there is no architecture sparc; there are amd64"]),
    (&["build", "ok.yml", "-f", "tar", "--name", "a/b"], 1, &["--name \"a/b\"", "-o names the directory"]),
    (&["build", "ok.yml", "-f", "tar", "--progress", "loud"], 2, &["auto, plain, json, none"]),
    (&["build", "ok.yml", "-f", "tar", "--mirror", "x", "--pull"], 1, &["\"x\" is no mirror"]),
    (&["build", "ok.yml"], 1, &["no kernel image", "only kernel+initrd, tar and docker go without"]),
    (&["build", "kernel.yml"], 1, &["the kernel of dir:kernel cannot be used", "not an x86 bzImage"]),
    (
        &["build", "arm.yml", "-f", "tar", "--cache", "layout"],
        1,
        &["is not for linux/amd64, only for linux/arm64"],
    ),
    (
        &["build", "image.yml", "-f", "tar"],
        1,
        &["there is no image docker.io/library/x:latest here", "--pull", "--cache"],
    ),
    (
        &["build", "image.yml", "-f", "tar", "--cache", "absent"],
        1,
        &["cannot use the cache absent: No such file"],
    ),
    (
        &["build", "image.yml", "-f", "tar", "--cache", "binary"],
        1,
        &["from binary", "not a proper tar archive"],
    ),
    (
        &["build", "image.yml", "-f", "tar", "--cache", "directory"],
        1,
        &["directory is neither an OCI image layout nor"],
    ),
    (&["build", "ok.yml", "-f", "tar", "-o", "empty"], 1, &["cannot write empty: not a directory"]),
    (&["build", "ok.yml", "-f", "tar", "-o", "empty/x/y"], 1, &["cannot write empty: not a directory"]),
];

const KERNELS: &[Case] = &[
    (&["default"], 2, &["--output <DIR>"]),
    (&["default", "-o", "out", "-f", "tar"], 2, &["there is no format tar; there are lcow"]),
    (
        &["default", "-o", "out", "--agent", "absent"],
        1,
        &["cannot read the guest agent absent", "--agent FILE"],
    ),
    (
        &["default", "-o", "out", "--agent", "directory"],
        1,
        &["cannot read the guest agent directory", "Is a directory"],
    ),
    (
        &["default", "-o", "out", "--agent", "binary"],
        1,
        &["binary cannot be the guest agent", "not a 64-bit ELF"],
    ),
    (&["kernel", "build"], 1, &["no kernel source", "cargo xtask setup", "--source FILE.deb"]),
    (&["kernel", "build", "-j", "0"], 2, &["'0'", "--jobs"]),
    (&["kernel", "build", "--source", "absent"], 1, &["cannot open the kernel source absent"]),
    (&["kernel", "build", "--source", "binary"], 1, &["binary is none of those tried", "--allow-new"]),
    (&["kernel", "build", "--source", "zero.deb", "--allow-new"], 1, &["zero.deb is not a Debian package"]),
    (&["kernel", "config", "NOPE"], 1, &["does not mention CONFIG_NOPE"]),
    (&["kernel", "check", "absent"], 1, &["cannot read absent: No such file"]),
    (&["kernel", "check", "empty"], 1, &["empty has no kernel configuration"]),
    (&["kernel", "check", "directory"], 1, &["directory has no kernel image: none of vmlinuz*"]),
];

const OTHERS: &[Case] = &[
    (&["check", "absent"], 1, &["cannot read the directory absent: No such file"]),
    (&["check", "empty"], 1, &["cannot read the directory empty: Not a directory"]),
    (&["check", "directory"], 1, &["directory has no boot files"]),
    (
        &["check", "alone"],
        1,
        &[
            "nothing in alone can be tried",
            "kernel: there is neither initrd.img nor rootfs.vhd",
            "uvm.vhdx: it is for Hyper-V",
        ],
    ),
    (&["inspect", "absent"], 1, &["cannot read absent: No such file"]),
    (&["inspect", "directory"], 1, &["directory has no boot files"]),
    (&["inspect", "binary"], 1, &["binary is no kernel, initrd, disk"]),
    (&["install", "absent", "--to", "to"], 1, &["cannot read absent: No such file"]),
    (&["install", "directory", "--to", "to"], 1, &["directory has no kernel", "uvm-build default -o DIR"]),
    (
        &["inspect", "garbage"],
        1,
        &["garbage/initrd.img is no kernel, initrd", "garbage/kernel is no kernel, initrd"],
    ),
    (&["install", "garbage", "--to", "to"], 1, &["garbage/kernel is no kernel that a host could start"]),
    (
        &["install", "mixed", "--to", "to"],
        1,
        &[
            "mixed/kernel is not what was built",
            "mixed/initrd.img is not there",
            "mixed/vmlinux is not in SHA256SUMS",
        ],
    ),
    (&["cache", "import", "absent"], 1, &["absent: No such file"]),
    (&["cache", "import", "binary"], 1, &["binary is not a proper tar archive"]),
    (&["cache", "import", "-"], 1, &["not a proper tar archive"]),
    (&["cache", "export", "x"], 1, &["no image docker.io/library/x:latest"]),
    (&["cache", "rm", "x"], 1, &["neither an image nor a kernel x", "cache ls"]),
    (&["completions", "csh"], 2, &["bash"]),
];

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["directory", "garbage", "kernel", "mixed", "alone"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        for (name, text) in [
            ("empty", ""),
            ("zero.deb", ""),
            ("binary", "\u{1}\u{2}junk"),
            ("ok.yml", "init: []\n"),
            ("bracket.yml", "init: [a\n"),
            ("tab.yml", "services:\n  - name: a\n\timage: b\n"),
            ("key.yml", "init: []\ninitt: []\n"),
            ("kernel.yml", "kernel: {image: \"dir:kernel\", tar: none}\n"),
            ("kernel/kernel", ""),
            ("garbage/kernel", "junk"),
            ("garbage/initrd.img", "junk"),
            ("alone/kernel", "junk"),
            ("alone/uvm.vhdx", "initcall_blacklist=virtio_vsock_init"),
            ("mixed/kernel", "changed"),
            ("mixed/vmlinux", "of another build"),
            ("mixed/SHA256SUMS", &format!("{0}  kernel\n{0}  initrd.img\n", "0".repeat(64))),
            ("image.yml", "init: [x]\n"),
            ("arm.yml", "init: [arm]\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::write(dir.path().join("binary"), [0xff, 0xfe, 0, 7]).unwrap();
        let mut layer = LayerBuilder::new();
        layer.file("x", 0o644, b"x");
        let arm = ImageBuilder::new("arm".parse().unwrap()).platform("linux/arm64".parse().unwrap());
        arm.layer(layer, Compression::Gzip).write_layout(&dir.path().join("layout")).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, words: &[&str]) -> Output {
        uvm_build(self.path()).args(words).output().unwrap()
    }

    /// Names of what is there, but for the cache.
    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).filter(|name| name != "kept").collect()
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_written() {
    let bench = Bench::new();
    let before = bench.names();
    for (words, status, expected) in DESCRIPTIONS.iter().chain(KERNELS).chain(OTHERS) {
        let output = bench.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*status), "{words:?}: {said}");
        for text in *expected {
            assert!(said.contains(text), "{words:?}: {text:?} is not in: {said}");
        }
        // Names of temporary files help nobody.
        assert!(!said.contains(".uvm-build-") && !said.contains("panicked"), "{words:?}: {said}");
        assert_eq!(bench.names(), before, "{words:?}");
    }
}

#[test]
fn a_directory_in_the_place_of_an_output_leaves_the_others_as_they_were() {
    let bench = Bench::new();
    let out = bench.path().join("out");
    fs::create_dir_all(out.join("ok.docker")).unwrap();
    fs::write(out.join("ok.tar"), "of an earlier build").unwrap();
    let output = bench.run(&["build", "ok.yml", "-f", "tar", "-f", "docker", "-o", "out"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write out/ok.docker: is a directory"), "{said}");
    assert_eq!(fs::read(out.join("ok.tar")).unwrap(), b"of an earlier build");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
}

#[test]
fn a_full_or_read_only_file_system_is_said_and_nothing_stays_there() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("small")).unwrap();
    fs::write(bench.path().join("large"), vec![7; 3 << 20]).unwrap();
    fs::write(bench.path().join("large.yml"), "files: [{path: a, source: large}]\n").unwrap();
    // In a mount namespace of its own, so that nothing of it can stay behind.
    let script = "mount -t tmpfs -o size=1m none small || exit 99
        \"$0\" build large.yml -f tar -o small; echo $?
        TMPDIR=small \"$0\" build large.yml -f tar -o out; echo $?
        ls -A small out
        mount -o remount,ro small
        \"$0\" build ok.yml -f tar -o small; echo $?
        LCOW_CACHE=$PWD/small \"$0\" build ok.yml -f tar -o out; echo $?";
    let mut shell = Command::new("unshare");
    shell.args(["--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_uvm-build")]);
    shell.current_dir(bench.path()).env("LCOW_CACHE", bench.path().join("kept"));
    let output = match shell.output() {
        Ok(output) if output.status.code() == Some(0) => output,
        other => {
            println!("skipped: nothing can be mounted here: {other:?}");
            return;
        }
    };
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.split_whitespace().collect::<Vec<_>>(), ["1", "1", "small:", "1", "1"], "{said}");
    for expected in [
        "cannot write small/large.tar: No space left on device",
        "cannot collect files in a temporary file in small",
        "cannot write small: read-only filesystem",
        "set LCOW_CACHE to another one",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in: {said}");
    }
}

#[test]
fn output_that_cannot_be_written_is_said_without_a_panic() {
    let bench = Bench::new();
    for (words, to, status) in [
        (&["completions", "bash"][..], "/dev/full", 1),
        (&["kernel", "config"], "/dev/full", 1),
        (&["build", "ok.yml", "--dry-run"], "/dev/full", 1),
        (&["cache", "ls"], "/dev/full", 1),
        (&["completions", "bash"], "closed", 0),
        (&["kernel", "config"], "closed", 0),
        (&["cache", "ls"], "closed", 0),
    ] {
        let mut command = uvm_build(bench.path());
        command.args(words).stderr(Stdio::piped());
        let child = if to == "closed" {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stdout(writer).spawn().unwrap()
        } else {
            command.stdout(fs::File::create(to).unwrap()).spawn().unwrap()
        };
        drop(command);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?} > {to}: {said}");
        assert!(!said.contains("panicked"), "{words:?} > {to}: {said}");
        assert_eq!(said.contains("No space left"), status == 1, "{words:?} > {to}: {said}");
    }
    let full = fs::File::create("/dev/full").unwrap();
    let status =
        uvm_build(bench.path()).args(["build", "ok.yml", "-f", "tar"]).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn options_that_nothing_makes_use_of_are_said_to_do_nothing() {
    let bench = Bench::new();
    let output = bench.run(&["build", "ok.yml", "-f", "tar", "--verity", "--append", "quiet"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("warning: --verity does nothing") && said.contains("warning: --append does nothing"),
        "{said}"
    );
    fs::create_dir(bench.path().join("pages")).unwrap();
    assert!(bench.run(&["man", "pages"]).status.success());
    let page = fs::read_to_string(bench.path().join("pages/uvm-build-build.1")).unwrap();
    assert!(page.contains("uvm") && !page.contains("uvm\\-image") && !page.contains("uvm-image"), "{page}");
}
