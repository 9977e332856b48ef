//! The kernel's own build system.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::interrupt::Unfinished;
use crate::progress::{Progress, Unit};

/// How many lines a build with our configuration prints, for the bar.
const STEPS: u64 = 3000;

/// How many of a failed build's last lines are shown.
const LAST_LINES: usize = 20;

/// Variables that would otherwise make every build different.
const SAME_EVERY_TIME: &[(&str, &str)] = &[
    ("KBUILD_BUILD_TIMESTAMP", "2026-01-01 00:00:00 +0000"),
    ("KBUILD_BUILD_USER", "lcow"),
    ("KBUILD_BUILD_HOST", "uvm-build"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("LC_ALL", "C"),
];

/// Why the kernel did not get built.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A program is not there.
    #[error("cannot run {program}, which building a kernel needs; `cargo xtask setup` installs it")]
    Run {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be written or read.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A step failed.
    #[error("`make {target}` failed ({status}); the end of what it said:\n{output}")]
    Failed {
        /// The target.
        target: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The last lines.
        output: String,
    },
}

/// The first line of what the C compiler says about itself; the kernel records it, too.
pub(super) fn compiler() -> Result<String, MakeError> {
    let output = Command::new("gcc")
        .arg("--version")
        .output()
        .map_err(|source| MakeError::Run { program: "gcc".into(), source })?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// A kernel tree and the directory for what is made of it.
pub(super) struct Make {
    tree: PathBuf,
    out: PathBuf,
    jobs: usize,
    /// Whether make is told when this program is gone.
    guarded: bool,
    unfinished: Unfinished,
}

/// The program, with which util-linux comes, that has the kernel end make when this program is killed. Make then starts no
/// more and ends what it has started, which after SIGKILL would go on; a compiler at work finishes its file.
const GUARD: &[&str] = &["setpriv", "--pdeathsig", "TERM", "make"];

/// Whether `GUARD` can be used here.
fn is_guarded() -> bool {
    let mut probe = Command::new(GUARD[0]);
    probe.args(&GUARD[1..]).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

impl Make {
    pub(super) fn new(
        tree: &Path,
        out: &Path,
        jobs: Option<usize>,
        unfinished: &Unfinished,
    ) -> Result<Self, MakeError> {
        fs::create_dir_all(out).map_err(|source| MakeError::File { path: out.to_owned(), source })?;
        let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
        let (tree, out, unfinished) = (tree.to_owned(), out.to_owned(), unfinished.clone());
        Ok(Self { tree, out, jobs, guarded: is_guarded(), unfinished })
    }

    /// Where the configuration is.
    pub(super) fn config(&self) -> PathBuf {
        self.out.join(".config")
    }

    /// Sets what `fragment` says and as little else as possible.
    pub(super) fn configure(&self, fragment: &str) -> Result<(), MakeError> {
        let path = self.out.join("lcow.config");
        fs::write(&path, fragment).map_err(|source| MakeError::File { path: path.clone(), source })?;
        let mut setting = OsString::from("KCONFIG_ALLCONFIG=");
        setting.push(&path);
        let mut make = self.make("allnoconfig");
        make.arg(setting);
        run(make, "allnoconfig", &self.unfinished, |()| {})
    }

    /// Compiles, and returns where the bzImage is.
    pub(super) fn kernel(&self, progress: &Progress) -> Result<PathBuf, MakeError> {
        let task = progress.task("compiling the kernel", Some(STEPS), Unit::Steps);
        run(self.make("bzImage"), "bzImage", &self.unfinished, |()| task.add(1))?;
        Ok(self.out.join("arch/x86/boot/bzImage"))
    }

    fn make(&self, target: &str) -> Command {
        let mut output = OsString::from("O=");
        output.push(&self.out);
        let words = if self.guarded { GUARD } else { &["make"] };
        let mut make = Command::new(words[0]);
        make.args(&words[1..]);
        make.current_dir(&self.tree).arg(output).arg(format!("-j{}", self.jobs)).arg(target);
        // Settings of the environment that reach into the kernel's build.
        for name in
            ["ARCH", "CROSS_COMPILE", "KCFLAGS", "KAFLAGS", "KCONFIG_CONFIG", "LOCALVERSION", "MAKEFLAGS"]
        {
            make.env_remove(name);
        }
        make.arg("ARCH=x86_64").envs(SAME_EVERY_TIME.iter().copied());
        make
    }
}

/// Runs `make`, tells `line` of every line it prints, and keeps the last ones for the error.
fn run(
    mut make: Command,
    target: &'static str,
    unfinished: &Unfinished,
    line: impl Fn(()),
) -> Result<(), MakeError> {
    let missing = |source| MakeError::Run { program: "make".into(), source };
    let (reader, writer) = io::pipe().map_err(missing)?;
    let errors = writer.try_clone().map_err(missing)?;
    make.stdin(Stdio::null()).stdout(writer).stderr(errors);
    let child = unfinished.spawn(&mut make).map_err(missing)?;
    // Our copies of the pipe's end are in the command; with them gone the pipe ends with make.
    drop(make);
    let mut last = std::collections::VecDeque::with_capacity(LAST_LINES);
    for text in BufReader::new(reader).split(b'\n') {
        let Ok(text) = text else { break };
        line(());
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(String::from_utf8_lossy(&text).into_owned());
    }
    let status = child.wait().map_err(missing)?;
    if status.success() {
        return Ok(());
    }
    let output = last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    Err(MakeError::Failed { target, status, output })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn a_failure_shows_the_last_lines() {
        let count = Cell::new(0);
        let script = "for i in $(seq 30); do echo line $i; done; echo broken >&2; exit 2";
        let none = Unfinished::default();
        let error =
            run(shell(script), "bzImage", &none, |()| count.set(count.get() + 1)).unwrap_err().to_string();
        assert_eq!(count.get(), 31);
        assert!(error.contains("make bzImage") && error.contains("line 30\n  broken"), "{error}");
        assert!(!error.contains("line 10\n"), "{error}");
        run(shell("echo fine"), "bzImage", &none, |()| {}).unwrap();
    }
}
