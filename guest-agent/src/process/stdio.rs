//! Relays between a process's standard streams and the host's ports (spec sections 8.2 and 8.3).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use lcow_protocol::VsockPort;
use lcow_protocol::messages::{ProcessParameters, StdioPorts};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::ending::Ending;
use super::output::{Extras, Output};
use super::pty::Pty;
use crate::transport::{DialError, HostStream};

/// Bytes moved at a time.
const CHUNK: usize = 64 << 10;

/// Connections to the host's ports, where asked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Host to guest.
    pub(crate) stdin: Option<HostStream>,
    /// Guest to host.
    pub(crate) stdout: Option<HostStream>,
    /// Guest to host.
    pub(crate) stderr: Option<HostStream>,
    /// Where they were found.
    pub(crate) ports: StdioPorts,
}

impl Wanted {
    /// Whether there is a stdin, a stdout, and a stderr.
    pub(crate) fn each(&self) -> [bool; 3] {
        [self.stdin.is_some(), self.stdout.is_some(), self.stderr.is_some()]
    }
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
        ports,
    })
}

/// A process's standard streams. Of a pipe the process gets one end and the agent keeps the other; `/dev/null` is the
/// process's alone.
///
/// Pipes and not the sockets themselves, so that a process can open `/dev/stdout` anew.
#[derive(Debug)]
pub(crate) struct StdioPipes {
    theirs: [OwnedFd; 3],
    ours: AgentEnds,
}

/// The agent's ends.
#[derive(Debug)]
pub(crate) struct AgentEnds([Option<OwnedFd>; 3]);

impl StdioPipes {
    /// Makes pipes for the `wanted` ones of stdin, stdout and stderr; `owner` is the user and group that may open them
    /// anew. The others are `/dev/null`, which everybody may open anyway.
    pub(crate) fn new(owner: (u32, u32), wanted: [bool; 3]) -> io::Result<Self> {
        let [stdin, stdout, stderr] = wanted;
        let (their_stdin, our_stdin) = stream(owner, stdin, |(read, write)| (read, write))?;
        let (their_stdout, our_stdout) = stream(owner, stdout, |(read, write)| (write, read))?;
        let (their_stderr, our_stderr) = stream(owner, stderr, |(read, write)| (write, read))?;
        Ok(Self {
            theirs: [their_stdin, their_stdout, their_stderr],
            ours: AgentEnds([our_stdin, our_stdout, our_stderr]),
        })
    }

    /// The process's ends, to be sent along with a job.
    pub(crate) fn raw(&self) -> [RawFd; 3] {
        [0, 1, 2].map(|stream: usize| self.theirs[stream].as_raw_fd())
    }

    /// Closes the process's ends once it has them.
    pub(crate) fn into_agent_ends(self) -> AgentEnds {
        self.ours
    }
}

type Ends = (OwnedFd, OwnedFd);

/// The process's end and ours of one stream; `sides` puts the process's first.
fn stream(
    owner: (u32, u32),
    wanted: bool,
    sides: fn(Ends) -> Ends,
) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    if !wanted {
        return Ok((null()?, None));
    }
    let (theirs, ours) = sides(pipe2(OFlag::O_CLOEXEC)?);
    std::os::unix::fs::fchown(&theirs, Some(owner.0), Some(owner.1))?;
    Ok((theirs, Some(ours)))
}

/// What a process has for a stream that nobody is at the other end of.
pub(super) fn null() -> io::Result<OwnedFd> {
    Ok(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
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
    pub(crate) fn of_pipes(pipes: AgentEnds, streams: Wanted, extras: &Extras) -> io::Result<Self> {
        let AgentEnds([stdin, stdout, stderr]) = pipes;
        let mut relays = Self::default();
        if let (Some(stdin), Some(host)) = (stdin, streams.stdin) {
            set_nonblocking(&stdin)?;
            let sender = pipe::Sender::from_owned_fd(stdin)?;
            relays.stdin = Some(tokio::task::spawn_local(feed(host, sender)));
        }
        let ports = streams.ports;
        for (pipe, host, port) in
            [(stdout, streams.stdout, ports.stdout), (stderr, streams.stderr, ports.stderr)]
        {
            if let Some(pipe) = pipe
                && (host.is_some() || extras.tee.is_some())
            {
                set_nonblocking(&pipe)?;
                let receiver = pipe::Receiver::from_owned_fd(pipe)?;
                let output = Output::new(host, port, extras);
                relays.output.push(tokio::task::spawn_local(drain(receiver, output, extras.ending())));
            }
        }
        Ok(relays)
    }

    /// Connects a terminal and the host. A stderr connection, if the host made one, is not used.
    pub(crate) fn of_terminal(pty: &Rc<Pty>, streams: Wanted, extras: &Extras) -> Self {
        let mut relays = Self::default();
        if let Some(host) = streams.stdin {
            let pty = Rc::clone(pty);
            relays.stdin = Some(tokio::task::spawn_local(type_into(host, pty)));
        }
        let output = Output::new(streams.stdout, streams.ports.stdout, extras);
        relays.output.push(tokio::task::spawn_local(show(Rc::clone(pty), output, extras.ending())));
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

/// Pipe to host.
async fn drain(mut pipe: pipe::Receiver, mut output: Output, mut ending: Ending) {
    let mut chunk = vec![0; CHUNK];
    while let Some(count) = ending.read(&mut pipe, &mut chunk).await {
        output.write(&chunk[..count]).await;
    }
    output.close().await;
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

/// Terminal to host. There is no farewell: the connection is simply
/// closed.
async fn show(pty: Rc<Pty>, mut output: Output, mut ending: Ending) {
    let mut chunk = vec![0; CHUNK];
    while let Some(count) = ending.read(&mut &*pty, &mut chunk).await {
        output.write(&chunk[..count]).await;
    }
    output.flush().await;
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
            let (_process, phase) = tokio::sync::watch::channel(super::super::Phase::default());
            let extras = Extras { phase, tee: None, reconnect: None, is_last: false };
            let relays = Relays::of_terminal(&Rc::new(pty), streams, &extras);
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
