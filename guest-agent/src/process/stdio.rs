//! Relays between a process's standard streams and the host's ports (spec sections 8.2 and 8.3).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use lcow_protocol::VsockPort;
use lcow_protocol::messages::{ProcessParameters, StdioPorts};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::pty::Pty;
use crate::transport::{DialError, HostStream};

/// Bytes moved at a time.
const CHUNK: usize = 64 << 10;

/// After all output was sent, so long may the host take to close. Upstream waits for ever, and so a vanished
/// host could keep an exit status from being reported (spec section 17, row 26).
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Connections to the host's ports, where asked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Host to guest.
    pub(crate) stdin: Option<HostStream>,
    /// Guest to host.
    pub(crate) stdout: Option<HostStream>,
    /// Guest to host.
    pub(crate) stderr: Option<HostStream>,
}

/// Connects to the ports that the host has opened, in its order: stdin, stdout, stderr.
pub(crate) async fn dial(parameters: &ProcessParameters, ports: StdioPorts) -> Result<Wanted, DialError> {
    async fn one(wanted: bool, port: VsockPort) -> Result<Option<HostStream>, DialError> {
        if wanted { HostStream::dial(port).await.map(Some) } else { Ok(None) }
    }
    Ok(Wanted {
        stdin: one(parameters.create_std_in_pipe, ports.stdin).await?,
        stdout: one(parameters.create_std_out_pipe, ports.stdout).await?,
        stderr: one(parameters.create_std_err_pipe, ports.stderr).await?,
    })
}

/// Three pipes: the process gets one end of each and the agent keeps the other.
///
/// Pipes and not the sockets themselves, so that a process can open `/dev/stdout` anew.
#[derive(Debug)]
pub(crate) struct StdioPipes {
    theirs: [OwnedFd; 3],
    ours: [OwnedFd; 3],
}

/// The agent's ends.
#[derive(Debug)]
pub(crate) struct AgentEnds([OwnedFd; 3]);

impl StdioPipes {
    /// Makes the pipes; `owner` is the user and group that may open them anew.
    pub(crate) fn new(owner: (u32, u32)) -> io::Result<Self> {
        let (stdin_read, stdin_write) = pipe2(OFlag::O_CLOEXEC)?;
        let (stdout_read, stdout_write) = pipe2(OFlag::O_CLOEXEC)?;
        let (stderr_read, stderr_write) = pipe2(OFlag::O_CLOEXEC)?;
        for end in [&stdin_read, &stdout_write, &stderr_write] {
            std::os::unix::fs::fchown(end, Some(owner.0), Some(owner.1))?;
        }
        Ok(Self {
            theirs: [stdin_read, stdout_write, stderr_write],
            ours: [stdin_write, stdout_read, stderr_read],
        })
    }

    /// The process's ends, to be sent along with a job.
    pub(crate) fn raw(&self) -> [RawFd; 3] {
        [0, 1, 2].map(|stream: usize| self.theirs[stream].as_raw_fd())
    }

    /// Closes the process's ends once it has them.
    pub(crate) fn into_agent_ends(self) -> AgentEnds {
        AgentEnds(self.ours)
    }
}

/// The running relays of one process.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    stdin: Option<JoinHandle<()>>,
    output: Vec<JoinHandle<()>>,
}

impl Relays {
    /// Connects pipes and host. An end without a connection is closed: the process then reads end of file, or
    /// gets an error when it writes.
    pub(crate) fn of_pipes(pipes: AgentEnds, streams: Wanted) -> io::Result<Self> {
        let AgentEnds([stdin, stdout, stderr]) = pipes;
        let mut relays = Self::default();
        if let Some(host) = streams.stdin {
            set_nonblocking(&stdin)?;
            let sender = pipe::Sender::from_owned_fd(stdin)?;
            relays.stdin = Some(tokio::task::spawn_local(feed(host, sender)));
        }
        for (pipe, host) in [(stdout, streams.stdout), (stderr, streams.stderr)] {
            if let Some(host) = host {
                set_nonblocking(&pipe)?;
                let receiver = pipe::Receiver::from_owned_fd(pipe)?;
                relays.output.push(tokio::task::spawn_local(drain(receiver, host)));
            }
        }
        Ok(relays)
    }

    /// Connects a terminal and the host. A stderr connection, if the host made one, is not used.
    pub(crate) fn of_terminal(pty: &Rc<Pty>, streams: Wanted) -> Self {
        let mut relays = Self::default();
        if let Some(host) = streams.stdin {
            let pty = Rc::clone(pty);
            relays.stdin = Some(tokio::task::spawn_local(type_into(host, pty)));
        }
        if let Some(host) = streams.stdout {
            let pty = Rc::clone(pty);
            relays.output.push(tokio::task::spawn_local(show(pty, host)));
        }
        drop(streams.stderr);
        relays
    }

    /// After the process has ended: stops its input and waits until all its output has reached the host.
    pub(crate) async fn finish(self) {
        if let Some(stdin) = self.stdin {
            stdin.abort();
        }
        for relay in self.output {
            // A relay that panicked has lost its stream; there is nothing left to wait for.
            let _ = relay.await;
        }
    }
}

fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Host to pipe; the pipe closes at the host's end of file.
async fn feed(mut host: HostStream, mut pipe: pipe::Sender) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = host.read(&mut chunk).await {
        if pipe.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}

/// Pipe to host. At the end of the output: half-close, then wait until the host has read everything and closed.
async fn drain(mut pipe: pipe::Receiver, mut host: HostStream) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        if host.write_all(&chunk[..count]).await.is_err() {
            return discard(pipe, &mut chunk).await;
        }
    }
    if host.shutdown().await.is_ok() {
        // Any outcome means that the host is done.
        let _ = tokio::time::timeout(DRAIN_PATIENCE, host.read(&mut chunk[..1])).await;
    }
}

/// The host has stopped listening; the process must not block on its own output for that.
async fn discard(mut pipe: pipe::Receiver, chunk: &mut [u8]) {
    while let Ok(1..) = pipe.read(chunk).await {}
}

/// Host to terminal.
async fn type_into(mut host: HostStream, pty: Rc<Pty>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = host.read(&mut chunk).await {
        if pty.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}

/// Terminal to host, until the last process has closed the terminal.
async fn show(pty: Rc<Pty>, host: HostStream) {
    let (read, mut write): (ReadHalf<HostStream>, WriteHalf<HostStream>) = split(host);
    drop(read);
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = pty.read(&mut chunk).await {
        if write.write_all(&chunk[..count]).await.is_err() {
            // As in `discard`.
            while let Ok(1..) = pty.read(&mut chunk).await {}
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::write;

    use super::*;

    /// More than a terminal holds.
    const MUCH: usize = 1 << 20;

    #[test]
    fn a_host_that_has_gone_does_not_block_a_terminal() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let (pty, slave) = Pty::open().unwrap();
            let (host, ours) = tokio::net::UnixStream::pair().unwrap();
            drop(host);
            let streams = Wanted { stdout: Some(HostStream::Unix(ours)), ..Wanted::default() };
            let relays = Relays::of_terminal(&Rc::new(pty), streams);
            let writer = tokio::task::spawn_blocking(move || {
                let mut left = MUCH;
                while left > 0 {
                    left -= write(&slave, &[b'x'; 4096]).unwrap().min(left);
                }
            });
            writer.await.unwrap();
            relays.finish().await;
        });
    }
}
