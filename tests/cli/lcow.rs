//! Running `lcow`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What the tests need from outside.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) lcow: Option<PathBuf>,
    pub(crate) boot_files: Option<PathBuf>,
}

impl Programs {
    /// `$LCOW_TEST_BIN` is the directory with `lcow`.
    pub(crate) fn find() -> Self {
        let directory = std::env::var_os("LCOW_TEST_BIN").map(PathBuf::from);
        let lcow = directory.map(|directory| directory.join("lcow")).filter(|path| path.is_file());
        Self { lcow, boot_files: lcow_tests::boot_files() }
    }

    /// `lcow` with everything it keeps in `home`.
    pub(crate) fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(self.lcow.as_deref().unwrap_or(Path::new("lcow")));
        command.env("LCOW_HOME", home).env_remove("LCOW_BOOT_FILES").stdin(Stdio::null());
        if let Some(boot_files) = &self.boot_files {
            command.env("LCOW_BOOT_FILES", boot_files);
        }
        command
    }
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless it went well and said nothing of its own.
    pub(crate) fn well(self) -> Result<Self> {
        self.ended(0)
    }

    /// Fails unless it ended with this status and said nothing of its own.
    pub(crate) fn ended(self, status: i32) -> Result<Self> {
        ensure!(self.status == status && self.stderr.is_empty(), "expected {status}: {}", self.shown());
        Ok(self)
    }

    /// Fails unless it ended with this status, and with these words on standard error alone.
    pub(crate) fn refused(self, status: i32, words: &[&str]) -> Result<Self> {
        let told = words.iter().all(|word| self.stderr.contains(word));
        ensure!(
            self.status == status && told && self.stdout.is_empty(),
            "{status} {words:?}: {}",
            self.shown()
        );
        Ok(self)
    }

    fn shown(&self) -> String {
        let start = &self.stdout[..self.stdout.len().min(2000)];
        format!("status {}, {:?}, {:?}", self.status, String::from_utf8_lossy(start), self.stderr)
    }
}

/// Runs a command to its end, with these bytes on its standard input.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run lcow")?;
    let mut stdin = child.stdin.take().context("piped")?;
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that does not read it is fine.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output()
    })?;
    Ok(Output {
        status: code(output.status),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// A command in the background; killed with the value.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    /// Until it is closed.
    stdout: Option<BufReader<ChildStdout>>,
}

impl Background {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run lcow")?;
        let stdout = child.stdout.take().context("piped")?;
        Ok(Self { child, stdout: Some(BufReader::new(stdout)) })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Reads one line of its output.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.as_mut().context("closed")?.read_line(&mut line)? == 0 {
            let mut stderr = String::new();
            self.child.stderr.take().context("piped")?.read_to_string(&mut stderr)?;
            bail!("lcow ended with {}: {stderr}", code(self.child.wait()?));
        }
        Ok(line.trim_end().to_owned())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// Stops reading its output and waits for the end.
    pub(crate) fn close_output(mut self) -> Result<Output> {
        let mut stderr = String::new();
        drop(self.stdout.take());
        self.child.stderr.take().context("piped")?.read_to_string(&mut stderr)?;
        Ok(Output { status: code(self.child.wait()?), stdout: Vec::new(), stderr })
    }

    /// Waits for the end: what it had still to say.
    pub(crate) fn finish(mut self) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        self.stdout.as_mut().context("closed")?.read_to_end(&mut stdout)?;
        self.child.stderr.take().context("piped")?.read_to_string(&mut stderr)?;
        Ok(Output { status: code(self.child.wait()?), stdout, stderr })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Fails when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Words of a command line.
pub(crate) fn with<S: AsRef<OsStr>>(mut command: Command, words: &[S]) -> Command {
    command.args(words);
    command
}
