//! The pipe through which a container's process says why it could not become its program.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::client::Error;
use super::messages::JobFailure;

/// How long a start may take before it is taken for granted: hooks may run in between.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than any report has.
const LONGEST_REPORT: u64 = 16 << 10;

/// `gcs`'s end of the pipe.
#[derive(Debug)]
pub(crate) struct FailurePipe(pipe::Receiver);

/// The process's end, to be sent along with the job and then closed.
#[derive(Debug)]
pub(crate) struct FailureWriter(OwnedFd);

impl FailureWriter {
    /// The descriptor to send.
    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl FailurePipe {
    /// Makes the pipe. Both ends close when a program is executed.
    pub(crate) fn new() -> std::io::Result<(Self, FailureWriter)> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(read.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((Self(pipe::Receiver::from_owned_fd(read)?), FailureWriter(write)))
    }

    /// The process's own reason for `error`, if it gave one: libcontainer has only text.
    pub(crate) async fn explain(self, error: Error) -> Error {
        self.outcome().await.err().map_or(error, Error::Job)
    }

    /// Waits until the process runs its program or has failed to.
    pub(crate) async fn outcome(mut self) -> Result<(), JobFailure> {
        let mut report = Vec::new();
        let mut limited = (&mut self.0).take(LONGEST_REPORT);
        let read = tokio::time::timeout(PATIENCE, limited.read_to_end(&mut report)).await;
        if read.is_err() || report.is_empty() {
            return Ok(());
        }
        Err(serde_json::from_slice(&report)
            .unwrap_or_else(|_| JobFailure::other("a malformed failure report")))
    }
}
