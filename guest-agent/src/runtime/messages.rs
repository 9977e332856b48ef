//! What `gcs` and the worker parent say to each other: JSON in sequenced packets, descriptors alongside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Sequence number of a job.
pub(super) type JobId = u64;

/// Largest message either way in bytes; the socket's buffers are made large enough for it.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

/// From `gcs` to the worker parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Do something and report how it went.
    Job(JobId, Job),
    /// Send a signal to a process that was reported as started and not yet as exited.
    Signal(JobId, u32, i32),
}

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// Create a container and its init process.
    Create(ContainerJob),
    /// Let a created container's init process run.
    Start(String),
    /// Run a further process in a container.
    Exec(ProcessJob),
    /// Run a process of the VM itself.
    Spawn(SpawnJob),
    /// Remove what libcontainer keeps about a container.
    Delete(String),
}

impl Job {
    /// What it does, for people, and how long that may take. Hosts wait five minutes for an answer.
    pub(super) fn limit(&self) -> (&'static str, Duration) {
        match self {
            // Root file systems on slow disks, and hooks.
            Self::Create(_) => ("creating a container", Duration::from_mins(2)),
            Self::Start(_) => ("starting a container", Duration::from_mins(1)),
            Self::Exec(_) => ("joining a container", Duration::from_mins(1)),
            Self::Spawn(_) => ("starting a process of the VM", Duration::from_mins(1)),
            Self::Delete(_) => ("deleting a container", Duration::from_mins(1)),
        }
    }
}

/// How the process's standard streams are connected. Descriptors travel with the message in this order, and after
/// them, for containers and their processes, the write end of a [`super::FailurePipe`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Stdio {
    /// Three descriptors: stdin, stdout, stderr.
    Streams,
    /// A terminal of the container's own, whose master is sent to this socket.
    Terminal(TerminalSocket),
}

/// Path of the Unix socket that receives a terminal's master.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TerminalSocket(pub(crate) PathBuf);

/// A container to create.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerJob {
    /// Its id; also the name of its state directory.
    pub(crate) id: String,
    /// The directory with `config.json`.
    pub(crate) bundle: PathBuf,
    /// File with what the executor does before init's program runs.
    pub(crate) confinement: PathBuf,
    /// Whether its network namespace is a new one.
    pub(crate) new_network: bool,
    /// Its standard streams.
    pub(crate) stdio: Stdio,
}

/// A process to run in a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessJob {
    /// The container.
    pub(crate) id: String,
    /// File with the OCI `process` object, prepared for libcontainer.
    pub(crate) process: PathBuf,
    /// File with what the executor does before the program runs.
    pub(crate) confinement: PathBuf,
    /// Its standard streams.
    pub(crate) stdio: Stdio,
}

/// A process of the VM itself. Its three streams travel with the message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SpawnJob {
    /// Arguments; the first is looked up in the agent's own `PATH`.
    pub(crate) args: Vec<String>,
    /// Directory; empty for the agent's own.
    pub(crate) directory: String,
    /// The whole environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The streams are a terminal, which becomes the controlling one.
    pub(crate) terminal: bool,
}

/// From the worker parent to `gcs`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Event {
    /// A job has ended. With a pid, exactly one `Exited` for it follows, never before.
    Done(JobId, Result<Option<u32>, JobFailure>),
    /// A process that a job started has ended.
    Exited(u32, i32),
}

/// Why a job failed.
#[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub(crate) struct JobFailure {
    /// What kind of failure, for the caller to act on.
    pub(crate) kind: FailureKind,
    /// For people.
    pub(crate) text: String,
}

/// Failures that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    /// The program does not exist.
    ProgramNotFound,
    /// The program exists but cannot be executed.
    ProgramNotExecutable,
    /// There is no such process any more.
    NoSuchProcess,
    /// Anything else.
    Other,
}

impl JobFailure {
    /// A failure that nobody tells apart.
    pub(super) fn other(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, text: text.into() }
    }

    /// A failure to run `program`, by what the kernel said.
    pub(super) fn exec(program: &str, errno: nix::errno::Errno) -> Self {
        use nix::errno::Errno;
        let kind = match errno {
            Errno::ENOENT | Errno::ENOTDIR => FailureKind::ProgramNotFound,
            Errno::EACCES | Errno::ENOEXEC | Errno::EISDIR | Errno::EPERM => {
                FailureKind::ProgramNotExecutable
            }
            _ => FailureKind::Other,
        };
        Self { kind, text: format!("exec: {program:?}: {}", errno.desc()) }
    }

    /// A working directory that cannot be entered.
    pub(super) fn directory(path: &str, errno: nix::errno::Errno) -> Self {
        Self::other(format!("working directory {path:?}: {}", errno.desc()))
    }
}
