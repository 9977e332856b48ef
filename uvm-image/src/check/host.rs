//! The host on the other side of `lcow uvm boot --vsock-uds`: a socket for each port that a guest dials first.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use lcow_protocol::envelope::{Message, RequestBase};
use lcow_protocol::frame::{HEADER_LEN, Header, MAX_TO_GUEST, MAX_TO_HOST, encode};
use lcow_protocol::messages::{NegotiateProtocol, Request, ShutdownGraceful};
use lcow_protocol::{ContainerId, VsockPort, ports};

use super::boot::BootError;
use crate::interrupt::{Directory, Unfinished};

/// Listens at the sockets, which are in a directory of their own.
pub(super) struct Host {
    dir: Directory,
    dials: Receiver<(VsockPort, UnixStream, Instant)>,
}

impl Host {
    pub(super) fn listen(unfinished: &Unfinished) -> io::Result<Self> {
        let dir = unfinished.directory("uvm-build-check-", &std::env::temp_dir())?;
        let (sender, dials) = channel();
        for port in [ports::ENTROPY, ports::LOG, ports::BRIDGE] {
            let listener = UnixListener::bind(dir.path().join(format!("vm_{port}")))?;
            let sender = sender.clone();
            // Ends with the process at the latest: nobody can wake an accept.
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if sender.send((port, stream, Instant::now())).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { dir, dials })
    }

    /// What `--vsock-uds` gets.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("vm")
    }

    /// A directory for files that this boot needs.
    pub(super) fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// The next dial before `deadline`.
    pub(super) fn dial(&self, deadline: Instant) -> Option<(VsockPort, UnixStream, Instant)> {
        self.dials.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }
}

/// Entropy that the guest gets: the times of this machine are no secret, but the guest has other sources, too.
pub(super) fn give_entropy(mut stream: &UnixStream) -> io::Result<()> {
    let mut bytes = vec![0; ports::ENTROPY_BYTES];
    std::fs::File::open(Path::new("/dev/urandom"))?.read_exact(&mut bytes)?;
    stream.write_all(&bytes)
}

/// A bridge with the guest.
pub(super) struct Bridge {
    stream: UnixStream,
    next_id: u64,
}

impl Bridge {
    pub(super) fn new(stream: UnixStream, patience: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream, next_id: 0 })
    }

    /// Asks for the only version there is.
    pub(super) fn negotiate(&mut self) -> Result<(), BootError> {
        let wanted = NegotiateProtocol { minimum_version: 4, maximum_version: 4 };
        self.request(wanted)?;
        let answer = self.answer()?;
        match (answer["Result"].as_i64(), answer["Version"].as_i64()) {
            (Some(0), Some(4)) => Ok(()),
            _ => Err(BootError::Protocol(format!("its answer to NegotiateProtocol is {answer}"))),
        }
    }

    /// Asks the guest to power off; it may be gone before it answers.
    pub(super) fn shut_down(&mut self) -> Result<(), BootError> {
        self.request(ShutdownGraceful {})
    }

    fn request<R: Request>(&mut self, payload: R) -> Result<(), BootError> {
        // The null container is the utility VM itself.
        let base = RequestBase { container_id: ContainerId::null(), ..RequestBase::default() };
        let body =
            Message { base, payload }.to_json().map_err(|error| BootError::Protocol(error.to_string()))?;
        let frame = encode(R::TYPE, self.next_id, &body, MAX_TO_GUEST)
            .map_err(|error| BootError::Protocol(error.to_string()))?;
        self.next_id += 1;
        self.stream.write_all(&frame).map_err(BootError::Bridge)
    }

    fn answer(&mut self) -> Result<serde_json::Value, BootError> {
        let mut header = [0; HEADER_LEN];
        self.stream.read_exact(&mut header).map_err(BootError::Bridge)?;
        let header =
            Header::decode(&header, MAX_TO_HOST).map_err(|error| BootError::Protocol(error.to_string()))?;
        let mut body = vec![0; header.body_len as usize];
        self.stream.read_exact(&mut body).map_err(BootError::Bridge)?;
        serde_json::from_slice(&body).map_err(|error| BootError::Protocol(error.to_string()))
    }
}
