//! Files that cannot be written, made last or renamed: `strace` lets one system call after the other fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lcow_oci::Compression;
use lcow_oci::build::LayerBuilder;

use crate::home::{Home, image};
use crate::hub::noise;
use crate::lcow::{Output, run, with};
use crate::registry::digests;
use crate::server::Server;
use crate::{Test, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("a_pull_that_cannot_write_says_so_and_leaves_nothing_in_the_way", pull),
    plain("a_load_that_cannot_write_says_so_and_leaves_nothing", load),
    plain("a_conversion_that_cannot_write_says_so_and_leaves_nothing", convert),
];

/// Several pieces of everything that writes pieces.
const SIZE: usize = 5 << 19;
/// More calls than anything here makes.
const MOST_CALLS: usize = 60;

/// A way in which files fail.
struct Fault {
    /// The system calls, as `strace` has them.
    calls: &'static str,
    error: &'static str,
    /// The system's word for it.
    said: &'static str,
}

const FAULTS: &[Fault] = &[
    Fault { calls: "write,pwrite64,copy_file_range", error: "EIO", said: "Input/output error" },
    Fault { calls: "write,pwrite64,copy_file_range", error: "ENOSPC", said: "No space left on device" },
    Fault { calls: "ftruncate", error: "EIO", said: "Input/output error" },
    Fault { calls: "fsync,fdatasync", error: "EIO", said: "Input/output error" },
    Fault { calls: "rename,renameat,renameat2", error: "EIO", said: "Input/output error" },
];

/// What came of a command one of whose calls was to fail.
enum Tried {
    /// A call on a file in the directory has failed.
    Failed(Output),
    /// It makes fewer calls.
    Untouched(Output),
    /// A call has failed that has nothing to do with files of ours.
    Elsewhere,
}

/// Whether there is an `strace` that may trace; says so if not.
fn can_trace() -> bool {
    let status = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let can = status.is_ok_and(|status| status.success());
    if !can {
        println!("skipped: there is no strace, or it may not trace");
    }
    can
}

/// Runs `command` and lets the `number`th such call of every thread fail; only calls on `files`, if any are named.
fn tried(command: &Command, fault: &Fault, number: usize, inside: &Path, files: &[PathBuf]) -> Result<Tried> {
    let log = tempfile::NamedTempFile::new()?;
    let Fault { calls, error, .. } = fault;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-o"]).arg(log.path()).args(["-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={calls}:error={error}:when={number}")]);
    for file in files {
        strace.arg("-P").arg(file);
    }
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let output = run(strace, b"")?;
    let log = fs::read_to_string(log.path())?;
    let inside = inside.to_string_lossy();
    let mut failed = log.lines().filter(|line| line.contains("(INJECTED)")).peekable();
    Ok(if failed.peek().is_none() {
        Tried::Untouched(output)
    } else if failed.any(|line| line.contains(&*inside)) {
        Tried::Failed(output)
    } else {
        Tried::Elsewhere
    })
}

/// Lets one call after the other fail, each in a place of its own; `judge` looks at what is left there.
fn sweep<P>(
    fault: &Fault,
    mut place: impl FnMut() -> Result<P>,
    mut attempt: impl FnMut(&P, usize) -> Result<Tried>,
    mut judge: impl FnMut(&P, &Output) -> Result<()>,
) -> Result<()> {
    let mut failures = 0;
    for number in 1..MOST_CALLS {
        let place = place()?;
        let what = || format!("{} number {number}: {}", fault.calls, fault.error);
        match attempt(&place, number).with_context(what)? {
            Tried::Untouched(output) => {
                ensure!(output.status == 0, "without a fault: {output:?}");
                ensure!(failures > 0, "{}: no such call was made", fault.calls);
                return Ok(());
            }
            // The command has had its say: what its runtime writes afterwards is nothing that it could report.
            Tried::Elsewhere => {
                ensure!(failures > 0, "{}: nothing of ours was written first", fault.calls);
                return Ok(());
            }
            Tried::Failed(output) => {
                failures += 1;
                ensure!(output.stderr.contains(fault.said), "{}: {output:?}", what());
                ensure!(output.stderr.lines().count() == 1, "{}: {output:?}", what());
                judge(&place, &output).with_context(what)?;
            }
        }
    }
    anyhow::bail!("{}: there is no end to it", fault.calls)
}

fn layer() -> LayerBuilder {
    let mut layer = LayerBuilder::new();
    layer.file("noise", 0o644, &noise(SIZE, 11));
    layer
}

/// The blobs and disks of a home by name.
type Content = (BTreeMap<String, String>, BTreeMap<String, String>);

fn content(home: &Home) -> Result<Content> {
    Ok((digests(home, "images/blobs/sha256", "")?, digests(home, "layers", ".vhd")?))
}

fn pull(home: &Home) -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let layout = tempfile::tempdir()?;
    image("app")?.layer(layer(), Compression::None).write_layout(layout.path())?;
    let server = Server::start(layout.path());
    let name = server.name();
    let undisturbed = home.empty()?;
    undisturbed.lcow(&["pull", "-q", &name])?.well()?;
    let whole = content(&undisturbed)?;
    let files = |home: &Home| {
        let part = |blob: &String| home.path().join("images/tmp").join(format!("{blob}.partial"));
        let disk = |disk: &String| home.path().join("layers").join(disk.replace(".vhd", ".tmp"));
        whole.0.keys().map(part).chain(whole.1.keys().map(disk)).collect::<Vec<_>>()
    };
    // Calls are counted by thread, and documents are stored before the threads begin that bring layers: so these files are
    // also counted by themselves. Of all writes some are the runtime's own, which it would not survive.
    let writes = |fault: &Fault| fault.calls.starts_with("write");
    let all = FAULTS.iter().filter(|fault| !writes(fault)).map(|fault| (fault, false));
    for (fault, is_apart) in all.chain(FAULTS.iter().map(|fault| (fault, true))) {
        let attempt = |home: &Home, number| {
            let only = if is_apart { files(home) } else { Vec::new() };
            tried(&home.command(&["pull", "-q", &name]), fault, number, &home.path(), &only)
        };
        let judge = |home: &Home, output: &Output| {
            let is_listed = listed_after(home, output)?;
            ensure!(!is_listed || content(home)? == whole, "half an image has a name");
            for (name, digest) in digests(home, "layers", ".vhd").unwrap_or_default() {
                ensure!(whole.1[&name] == digest, "half a disk has a name");
            }
            ensure!(home.files("layers", ".tmp").unwrap_or_default().is_empty(), "half a disk is left");
            let parts = home.files("images/tmp", "")?;
            // What failed to reach the disk looks well in memory: nobody may go on with it.
            ensure!(!fault.calls.starts_with("fsync") || parts.is_empty(), "{parts:?} are left");
            ensure!(parts.iter().all(|path| path.extension() == Some("partial".as_ref())), "{parts:?}");
            home.lcow(&["pull", "-q", &name])?.well()?;
            ensure!(content(home)? == whole, "the next pull brings something else");
            Ok(())
        };
        sweep(fault, || home.empty(), attempt, judge)?;
    }
    Ok(())
}

/// It failed and named a file; says whether the image is listed all the same.
fn listed_after(home: &Home, output: &Output) -> Result<bool> {
    ensure!(output.status == 125 && output.stdout.is_empty(), "{output:?}");
    ensure!(output.stderr.contains(&*home.path().to_string_lossy()), "it names no file: {output:?}");
    Ok(!home.lcow(&["images", "-q"])?.well()?.text().is_empty())
}

fn load(home: &Home) -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let layout = tempfile::tempdir()?;
    image("app")?.layer(layer(), Compression::None).write_layout(layout.path())?;
    let undisturbed = home.empty()?;
    undisturbed.load_from(layout.path())?.well()?;
    let whole = digests(&undisturbed, "images/blobs/sha256", "")?;
    let words = ["load", layout.path().to_str().context("a path in UTF-8")?];
    // Nothing is cut here.
    for fault in FAULTS.iter().filter(|fault| fault.calls != "ftruncate") {
        let attempt = |home: &Home, number| tried(&home.command(&words), fault, number, &home.path(), &[]);
        let judge = |home: &Home, output: &Output| {
            let is_listed = listed_after(home, output)?;
            let blobs = || digests(home, "images/blobs/sha256", "");
            ensure!(!is_listed || blobs()? == whole, "half an image has a name");
            ensure!(home.files("images/tmp", "").unwrap_or_default().is_empty(), "half a blob is left");
            home.load_from(layout.path())?.well()?;
            ensure!(
                digests(home, "images/blobs/sha256", "")? == whole,
                "the next load brings something else"
            );
            Ok(())
        };
        sweep(fault, || home.empty(), attempt, judge)?;
    }
    Ok(())
}

fn convert(home: &Home) -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let source = tempfile::tempdir()?;
    let archive = source.path().join("in.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive)?);
    let mut header = tar::Header::new_gnu();
    header.set_size(SIZE as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "noise", &noise(SIZE, 12)[..])?;
    tar.finish()?;
    let program = home.beside_lcow("uvm-build")?;
    let command = |dir: &Path| {
        let command = with(Command::new(&program), &["disk", "tar2ext4", "-vhd", "-verity", "-i"]);
        with(command, &[archive.as_path(), "-o".as_ref(), &dir.join("out.vhd")])
    };
    // Nothing is synchronised here.
    for fault in FAULTS.iter().filter(|fault| !fault.calls.starts_with("fsync")) {
        let attempt =
            |dir: &tempfile::TempDir, number| tried(&command(dir.path()), fault, number, dir.path(), &[]);
        let judge = |dir: &tempfile::TempDir, output: &Output| {
            ensure!(output.status == 1 && output.stdout.is_empty(), "{output:?}");
            ensure!(output.stderr.contains("out.vhd"), "it names no file: {output:?}");
            ensure!(output.stderr.matches(fault.said).count() == 1, "{output:?}");
            ensure!(fs::read_dir(dir.path())?.count() == 0, "half a disk is left");
            ensure!(run(command(dir.path()), b"")?.well()?.text().trim().len() == 64);
            Ok(())
        };
        sweep(fault, || Ok(tempfile::tempdir()?), attempt, judge)?;
    }
    Ok(())
}
