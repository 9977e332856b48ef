//! `uvm-build kernel build`, ended before it is done. The compiler and make are scripts; what they make is no kernel.
#![cfg(unix)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lzma_rust2::{XzOptions, XzWriter};
use support::uvm_build;

/// Configures as it is told. With a file `wait` it says `ready` before it compiles, and goes on when `go` has been closed
/// by its writer; with that it says `done`. As long as it lives `said` is open for writing.
const MAKE: &str = r#"#!/bin/sh
for word; do
    case $word in
        O=*) out=${word#O=} ;;
        KCONFIG_ALLCONFIG=*) configuration=${word#KCONFIG_ALLCONFIG=} ;;
        allnoconfig | bzImage) target=$word ;;
        --version) exit 0 ;;
    esac
done
if [ "$target" = allnoconfig ]; then
    exec cp "$configuration" "$out/.config"
fi
if [ -e "$BENCH/wait" ]; then
    exec 3> "$BENCH/said"
    echo half > "$out/half"
    echo ready >&3
    # Like make, it ends what it has started when it is told to end.
    trap 'kill $!; exit 2' TERM
    cat < "$BENCH/go" &
    wait $!
    echo done >&3
fi
mkdir -p "$out/arch/x86/boot"
echo kernel > "$out/arch/x86/boot/bzImage"
"#;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for (name, text) in [("make", MAKE), ("gcc", "#!/bin/sh\necho gcc of a test 1.0\n")] {
            let path = bench.path().join("bin").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        tar.append_data(&mut header, "linux-0.1/Kconfig", &b"x\n"[..]).unwrap();
        let mut packed = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
        packed.write_all(&tar.into_inner().unwrap()).unwrap();
        fs::write(bench.path().join("linux-0.1.tar.xz"), packed.finish().unwrap()).unwrap();
        fs::create_dir(bench.path().join("tmp")).unwrap();
        bench
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = uvm_build(self.path());
        command.arg("kernel").args(words).env("TMPDIR", self.path().join("tmp")).env("BENCH", self.path());
        command.env("PATH", format!("{}/bin:/usr/bin:/bin", self.path().display()));
        command
    }

    /// The command that builds the source.
    fn build(&self) -> Command {
        self.command(&["build", "--source", "linux-0.1.tar.xz", "--allow-new"])
    }

    /// Starts a build and comes back when it is compiling; gives what to close for `make` to go on, and what it says.
    fn compiling(&self) -> (Child, File, File) {
        for pipe in ["said", "go"] {
            let made = Command::new("mkfifo").arg(self.path().join(pipe)).status().unwrap();
            assert!(made.success());
        }
        fs::write(self.path().join("wait"), "").unwrap();
        let child = self.build().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Each waits for the other end to be opened.
        let mut said = File::open(self.path().join("said")).unwrap();
        let go = File::options().write(true).open(self.path().join("go")).unwrap();
        let mut ready = [0; 6];
        said.read_exact(&mut ready).unwrap();
        assert_eq!(&ready, b"ready\n");
        fs::remove_file(self.path().join("wait")).unwrap();
        (child, go, said)
    }

    /// Names in the directory of kernels.
    fn kernels(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.path().join("kept/kernel"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.retain(|path| !path.ends_with("lock"));
        paths
    }

    /// No build has been finished.
    fn has_no_kernel(&self) {
        assert_eq!(self.command(&["path"]).output().unwrap().status.code(), Some(1));
        assert!(self.kernels().iter().all(|path| !path.join("kernel").exists()));
    }

    /// The next build works, and leaves its kernel and nothing else.
    fn goes_on(&self) {
        let output = self.build().output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(self.kernels(), [Path::new(printed.trim())]);
        let mut names: Vec<_> =
            fs::read_dir(printed.trim()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config", "kernel", "made-of.txt"]);
        assert_eq!(fs::read(self.kernels()[0].join("kernel")).unwrap(), b"kernel\n");
        assert_eq!(self.command(&["path"]).output().unwrap().stdout, printed.as_bytes());
        assert_eq!(fs::read_dir(self.path().join("tmp")).unwrap().count(), 0);
    }
}

fn rest(mut file: impl Read) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_interrupted_build_ends_its_make_and_leaves_nothing() {
    let bench = Bench::new();
    let (mut build, go, said) = bench.compiling();
    assert_eq!(bench.kernels().len(), 1, "nothing to leave behind");
    // To this one process: not as a terminal does it.
    assert!(Command::new("kill").args(["-INT", &build.id().to_string()]).status().unwrap().success());
    assert_eq!(build.wait().unwrap().code(), Some(130));
    drop(go);
    assert_eq!(rest(said), "", "make was not ended");
    assert_eq!((bench.kernels().len(), rest(build.stderr.unwrap())), (0, String::new()));
    bench.has_no_kernel();
    bench.goes_on();
}

#[test]
fn what_a_killed_build_leaves_goes_with_the_next_one() {
    let bench = Bench::new();
    let (mut build, go, said) = bench.compiling();
    build.kill().unwrap();
    assert_eq!(build.wait().unwrap().code(), None);
    bench.has_no_kernel();
    assert_eq!(bench.kernels().len(), 1, "nothing to leave behind");
    if Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "true"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        assert_eq!(rest(said), "", "make was ended");
        drop(go);
    } else {
        println!("skipped: there is no setpriv --pdeathsig, so make goes on until it wants to say something");
        drop(go);
        rest(said);
    }
    bench.goes_on();
}

#[test]
fn a_second_build_waits_for_the_first_and_takes_its_kernel() {
    let bench = Bench::new();
    let (first, go, said) = bench.compiling();
    let mut second = bench.build().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = [0; 47];
    second.stderr.as_mut().unwrap().read_exact(&mut told).unwrap();
    assert_eq!(&told, b"uvm-build: waiting for another build of a kerne");
    drop(go);
    assert_eq!(rest(said), "done\n");
    let (first, second) = (first.wait_with_output().unwrap(), second.wait_with_output().unwrap());
    assert!(first.status.success() && second.status.success());
    assert_eq!(first.stdout, second.stdout);
    bench.goes_on();
}
