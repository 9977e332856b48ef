//! The `lcow` command as a child process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

use crate::boot_files;

/// Longest wait for a command's end; a limit for hangs, not a measure.
const LIMIT: Duration = Duration::from_mins(2);

/// The release binary `name`: in `$LCOW_TEST_BIN`, which `cargo xtask test` sets.
pub fn binary(name: &str) -> Result<PathBuf> {
    let dist =
        std::env::var_os("LCOW_TEST_BIN").context("$LCOW_TEST_BIN is not set; use `cargo xtask test`")?;
    let path = PathBuf::from(dist).join(name);
    ensure!(path.is_file(), "there is no {}; use `cargo xtask test`", path.display());
    Ok(path)
}

/// `lcow` with these arguments.
pub fn lcow(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary("lcow")?);
    command.args(args).stdin(Stdio::null());
    Ok(command)
}

/// Runs `command` to its end, in at most [`LIMIT`].
pub async fn output(command: Command) -> Result<Output> {
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output();
    Ok(tokio::time::timeout(LIMIT, output).await.context("the command does not end")??)
}

/// A running `lcow uvm boot`, killed when dropped.
#[derive(Debug)]
pub struct UvmBoot {
    child: Child,
    pid: u32,
}

impl UvmBoot {
    /// Starts it on the tests' boot files, with its console going nowhere.
    pub fn start(sockets: &Path, args: &[&str]) -> Result<Self> {
        let boot = boot_files().context("$LCOW_TEST_BOOT is not set; use `cargo xtask test`")?;
        let mut command = lcow(&["uvm", "boot"])?;
        command.arg("--vsock-uds").arg(sockets).arg("--boot-files").arg(boot).args(args);
        command.stdout(Stdio::null());
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, pid })
    }

    /// The processes that it has started: QEMU.
    pub fn children(&self) -> Result<Vec<i32>> {
        let mut children = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended since.
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            // The name in brackets may contain anything; state and parent follow it.
            let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
            if parent.and_then(|parent| parent.parse().ok()) == Some(self.pid) {
                children.push(pid);
            }
        }
        Ok(children)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid.cast_signed()), signal)?)
    }

    /// Waits for its end and returns its exit status.
    pub async fn status(&mut self) -> Result<i32> {
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await.context("lcow does not end")??;
        status.code().with_context(|| format!("lcow ended with {status}"))
    }
}

/// Fails if the process is still there, or one of its leftovers that nobody has reaped.
pub fn is_gone(pid: i32) -> Result<()> {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) if name.contains("qemu") => bail!("QEMU ({pid}) is still there"),
        _ => Ok(()),
    }
}
