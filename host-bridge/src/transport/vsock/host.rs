//! The host side of guest dials: who answers on a port, and the socket that carries a connection.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use tokio::sync::mpsc;

use super::buffers::{Buffers, Transfer};

/// Connections that may wait on one port for the host to take them.
pub(crate) const BACKLOG: usize = 1024;

/// Ports that this process listens on; shared between the device's thread and the listeners.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    ports: Arc<Mutex<HashMap<u32, mpsc::Sender<UnixStream>>>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, mpsc::Sender<UnixStream>>> {
        // The map is valid after every statement, so a panic elsewhere does not spoil it.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts listening; `None` when somebody already does.
    pub(crate) fn listen(&self, port: u32) -> Option<mpsc::Receiver<UnixStream>> {
        let mut ports = self.lock();
        if ports.contains_key(&port) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(BACKLOG);
        ports.insert(port, sender);
        Some(receiver)
    }

    pub(crate) fn close(&self, port: u32) {
        self.lock().remove(&port);
    }

    /// Makes a connection to a listener; `None` when there is none or its backlog is full.
    pub(crate) fn offer(&self, port: u32) -> Option<UnixStream> {
        let sender = self.lock().get(&port)?.clone();
        let (ours, theirs) = UnixStream::pair().ok()?;
        ours.set_nonblocking(true).ok()?;
        theirs.set_nonblocking(true).ok()?;
        sender.try_send(theirs).ok()?;
        Some(ours)
    }
}

/// Where guest dials go.
#[derive(Clone, Debug)]
pub(crate) enum HostSide {
    /// To listeners in this process.
    Listeners(Registry),
    /// To the Unix socket `PATH_P` for port P, in decimal (the hybrid-vsock convention).
    UnixSockets(PathBuf),
}

/// Result of one attempt to reach the host side.
#[derive(Debug)]
pub(super) enum Dial {
    Connected(UnixStream),
    /// The listener's backlog is full: try again later. A Unix socket gives no event for room in a backlog.
    Busy,
    Refused,
}

impl HostSide {
    pub(super) fn dial(&self, port: u32) -> Dial {
        match self {
            Self::Listeners(registry) => registry.offer(port).map_or(Dial::Refused, Dial::Connected),
            Self::UnixSockets(prefix) => dial_unix(&port_socket(prefix, port)),
        }
    }
}

/// The Unix socket of a port: `PATH_P`.
fn port_socket(prefix: &Path, port: u32) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(format!("_{port}"));
    path.into()
}

fn dial_unix(path: &Path) -> Dial {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let attempt = || -> Result<OwnedFd, Errno> {
        let address = UnixAddr::new(path)?;
        let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        socket::connect(socket.as_raw_fd(), &address)?;
        Ok(socket)
    };
    match attempt() {
        Ok(socket) => Dial::Connected(UnixStream::from(socket)),
        Err(Errno::EAGAIN) => Dial::Busy,
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "nobody answers a guest's dial");
            Dial::Refused
        }
    }
}

/// The way to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlet {
    Open,
    /// The guest will send no more; close it once everything unsent has gone.
    Finishing,
    /// Closed by us.
    Finished,
    /// Closed by the host, which takes nothing more.
    Deaf,
}

/// A connection's socket to the host side, with what it would not yet take from the guest.
#[derive(Debug)]
pub(super) struct HostSocket {
    stream: UnixStream,
    unsent: VecDeque<u8>,
    /// The socket may have bytes for us; edge-triggered.
    pub(super) readable: bool,
    /// The host has closed its end altogether.
    pub(super) hung_up: bool,
    outlet: Outlet,
}

impl HostSocket {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, unsent: VecDeque::new(), readable: true, hung_up: false, outlet: Outlet::Open }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The host will take nothing more.
    pub(super) fn is_deaf(&self) -> bool {
        self.outlet == Outlet::Deaf
    }

    /// Takes the guest's payload; returns how much of it no longer needs room here. The rest is kept, and the
    /// caller's credit accounting bounds it.
    pub(super) fn push(&mut self, payload: &Buffers<'_>) -> usize {
        if self.is_deaf() {
            return payload.len();
        }
        let sent = if self.unsent.is_empty() {
            match payload.send(&self.stream) {
                Transfer::Moved(count) | Transfer::Blocked(count) => count,
                Transfer::Failed(..) => return self.refuse(payload.len()),
            }
        } else {
            0
        };
        let mut rest = vec![0; payload.len() - sent];
        payload.range(sent, rest.len()).read_to(&mut rest);
        self.unsent.extend(rest);
        sent
    }

    /// Writes what was kept; returns how much of it no longer needs room here.
    pub(super) fn flush(&mut self) -> usize {
        let mut total = 0;
        while !self.unsent.is_empty() {
            match (&self.stream).write(self.unsent.as_slices().0) {
                Ok(count) => {
                    self.unsent.drain(..count);
                    total += count;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return total,
                    _ => {
                        let lost = self.unsent.len();
                        return total + self.refuse(lost);
                    }
                },
            }
        }
        self.finish_when_empty();
        total
    }

    /// The guest will send no more: the host reads the end of the stream after what is unsent.
    pub(super) fn finish(&mut self) {
        if self.outlet == Outlet::Open {
            self.outlet = Outlet::Finishing;
        }
        self.finish_when_empty();
    }

    /// The guest will receive no more: the host's next write fails.
    pub(super) fn stop_reading(&mut self) {
        self.readable = false;
        // Fails only on a socket that is already closed.
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Closes the socket. What the host wrote and the guest will never read is taken out first: closing a Unix
    /// socket over unread bytes would make the host read an error instead of the end of the stream.
    pub(super) fn close(mut self) {
        self.stop_reading();
        let mut scratch = [0; 16 * 1024];
        while matches!((&self.stream).read(&mut scratch), Ok(count) if count > 0) {}
    }

    fn finish_when_empty(&mut self) {
        if self.outlet == Outlet::Finishing && self.unsent.is_empty() {
            self.outlet = Outlet::Finished;
            // Fails only on a socket that is already closed.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    fn refuse(&mut self, lost: usize) -> usize {
        self.outlet = Outlet::Deaf;
        self.unsent = VecDeque::new();
        lost
    }
}
