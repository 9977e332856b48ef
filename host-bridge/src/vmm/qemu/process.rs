//! The QEMU process: started from a thread that stays for as long as it runs, so that it dies with this process.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};

use crate::sys;
use crate::vmm::{Console, VmmError};

/// The program.
const PROGRAM: &str = "qemu-system-x86_64";

/// A running QEMU.
#[derive(Debug)]
pub(super) struct Process {
    /// `None` once it has been reaped: its number may be somebody else's from then on.
    pid: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts QEMU; it inherits `descriptors`. Its standard output is the machine's console.
    pub(super) async fn spawn(
        args: Vec<OsString>,
        descriptors: Vec<OwnedFd>,
        console: Console,
    ) -> Result<Self, VmmError> {
        let (started, start) = oneshot::channel();
        let (end, ended) = watch::channel(None);
        let pid = Arc::new(Mutex::new(None));
        let keeper = Keeper { pid: pid.clone(), console, end };
        thread::Builder::new()
            .name("qemu".into())
            .spawn(move || keeper.run(args, descriptors, started))
            .map_err(|source| VmmError::System { operation: "start a thread", source })?;
        let failed = |source: io::Error| {
            let hint = if source.kind() == io::ErrorKind::NotFound {
                " (install the package qemu-system-x86)"
            } else {
                ""
            };
            VmmError::Spawn { program: PROGRAM.into(), hint, source }
        };
        start.await.unwrap_or_else(|_| Err(io::Error::other("its thread ended"))).map_err(failed)?;
        Ok(Self { pid, ended })
    }

    /// Sends a signal, unless the process is gone.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid {
            // Not reaped yet, so the number is ours; it may be dead, which is fine.
            let _ = kill(pid, signal);
        }
    }

    /// Waits for the end: how it ended and what it said last.
    pub(super) async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(status) => status.clone().unwrap_or_default(),
            Err(_) => "QEMU's thread ended".into(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// What the process's thread holds.
struct Keeper {
    pid: Arc<Mutex<Option<Pid>>>,
    console: Console,
    end: watch::Sender<Option<String>>,
}

impl Keeper {
    fn run(self, args: Vec<OsString>, descriptors: Vec<OwnedFd>, started: oneshot::Sender<io::Result<()>>) {
        let child = start(args, &descriptors);
        // Ours are copies; with them closed QEMU's end shows on the other side.
        drop(descriptors);
        match child {
            Err(error) => {
                // Nobody listens any more: then nobody misses it.
                let _ = started.send(Err(error));
            }
            Ok(child) => {
                *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid_of(&child));
                if started.send(Ok(())).is_err() {
                    // The caller has gone, and with it whoever would stop this machine.
                    let _ = kill(pid_of(&child), Signal::SIGKILL);
                }
                self.keep(child);
            }
        }
    }

    fn keep(self, mut child: Child) {
        let console = self.console;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let reader = thread::spawn(move || stdout.map(|stdout| copy_console(stdout, &console)));
        let complaints = stderr.map(read_complaints).unwrap_or_default();
        // Both pipes end with the process.
        let _ = reader.join();
        let pid = pid_of(&child);
        while let Err(nix::errno::Errno::EINTR) =
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        {}
        let mut shared = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        *shared = None;
        let status = child.wait();
        drop(shared);
        self.end.send_replace(Some(describe(&status, &complaints)));
    }
}

fn start(args: Vec<OsString>, descriptors: &[OwnedFd]) -> io::Result<Child> {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for us; what it means for the machine is decided here.
    command.process_group(0);
    sys::tie_to_parent(&mut command, descriptors);
    command.spawn()
}

fn pid_of(child: &Child) -> Pid {
    // A process id is positive and fits.
    Pid::from_raw(child.id().cast_signed())
}

fn copy_console(mut stdout: ChildStdout, console: &Console) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = stdout.read(&mut buffer) {
        console.push(&buffer[..count]);
    }
}

/// Reads QEMU's standard error to its end; keeps the beginning, where the cause is.
fn read_complaints(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        tracing::debug!(text = %String::from_utf8_lossy(&buffer[..count]), "QEMU");
        let room = 4096_usize.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn describe(status: &io::Result<ExitStatus>, complaints: &str) -> String {
    let status = match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("lost: {error}"),
    };
    let separator = if complaints.is_empty() { "" } else { ": " };
    format!("QEMU ended ({status}){separator}{complaints}{}", likely_cause(complaints))
}

/// What QEMU's words usually mean.
fn likely_cause(complaints: &str) -> String {
    let causes = [
        ("set MSR", "this machine's KVM cannot run an ordinary kernel; use `--accel tcg`"),
        ("failed to initialize kvm", "KVM is not usable here; use `--accel tcg`"),
        ("Could not access KVM", "KVM is not usable here; use `--accel tcg`"),
        ("Failed to get \"write\" lock", "another process has that disk open"),
        ("Failed to get shared \"write\" lock", "another process writes to that disk"),
        ("Cannot allocate memory", "there is too little memory for this machine"),
        ("PVH", "this kernel cannot be booted directly"),
    ];
    let found = causes.iter().find(|(words, _)| complaints.contains(words));
    found.map(|(_, cause)| format!("\nlikely cause: {cause}")).unwrap_or_default()
}
