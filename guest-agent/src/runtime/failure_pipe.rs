//! The pipe, open both ways, through which a container's process says why it could not become its program, and before that
//! is let go.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::messages::JobFailure;

/// How long a start may take before it is taken for granted: hooks may run in between.
const PATIENCE: Duration = Duration::from_mins(1);
/// More than any report has.
const LONGEST_REPORT: u64 = 16 << 10;

/// What a process with a terminal is told: that it may go on, or that it must not.
const GO: u8 = 0;
const REFUSED: u8 = 1;

/// How long a process waits to be let go.
const PROCESS_PATIENCE_SECONDS: i64 = 10;

/// `gcs`'s end of the pipe.
#[derive(Debug)]
pub(crate) struct FailurePipe(UnixStream);

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
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        setsockopt(&theirs, sockopt::ReceiveTimeout, &TimeVal::seconds(PROCESS_PATIENCE_SECONDS))?;
        let ours = std::os::unix::net::UnixStream::from(ours);
        ours.set_nonblocking(true)?;
        Ok((Self(UnixStream::from_std(ours)?), FailureWriter(theirs)))
    }

    /// Lets a process with a terminal go on to its program: the terminal is ready. Without this it does so when the pipe is
    /// dropped.
    pub(crate) async fn let_go(&mut self) {
        self.say(GO).await;
    }

    /// Keeps a process with a terminal from its program: its terminal is not what it should be.
    pub(crate) async fn refuse(&mut self) {
        self.say(REFUSED).await;
    }

    async fn say(&mut self, word: u8) {
        // It may have ended, of which we hear elsewhere.
        let _ = self.0.write_all(&[word]).await;
    }

    /// The process's own reason for a failure, if it gave one: libcontainer has only text.
    pub(crate) async fn reason(self) -> Option<JobFailure> {
        self.outcome().await.err()
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

/// In the process: waits until `gcs` has its terminal and has given that to its user. False if it must not go on; that
/// `gcs` says nothing does not matter.
pub(super) fn may_go_on(failures: impl AsFd) -> bool {
    let mut word = [GO];
    let _ = nix::unistd::read(failures, &mut word);
    word != [REFUSED]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_goes_on_unless_it_is_told_not_to() {
        let (mut pipe, process) = FailurePipe::new().unwrap();
        pipe.refuse().await;
        assert!(!may_go_on(&process.0));
        pipe.let_go().await;
        assert!(may_go_on(&process.0));
        drop(pipe);
        assert!(may_go_on(&process.0), "nobody is there to say it");
    }
}
