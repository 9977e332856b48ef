//! Connections from the guest to the host (spec section 2). The guest dials, the host listens.
//!
//! For tests without a VM, the environment variable [`TEST_SOCKETS`] maps "port N on the host" to the Unix
//! socket `PREFIX_N`, which is also how `lcow uvm boot` hands ports out.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use lcow_protocol::VsockPort;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_vsock::{VMADDR_CID_HOST, VsockStream};

/// Prefix of the Unix sockets that stand for the host's ports.
pub(crate) const TEST_SOCKETS: &str = "LCOW_TEST_SOCKETS";

/// An old defect of `hv_sock` makes connects time out now and then; so often do we try (spec section 2.2).
const ATTEMPTS: u32 = 10;
/// Pause after a connect that timed out.
const PAUSE: Duration = Duration::from_millis(100);

/// The host could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("connecting to host port {port}")]
pub(crate) struct DialError {
    port: VsockPort,
    #[source]
    source: io::Error,
}

/// Connects to `port` on the host, blocking.
pub(crate) fn dial_blocking(port: VsockPort) -> Result<OwnedFd, DialError> {
    let mut attempt = 1;
    loop {
        match connect_blocking(port) {
            Ok(fd) => return Ok(fd),
            Err(source) if attempt < ATTEMPTS && timed_out(&source) => thread::sleep(PAUSE),
            Err(source) => return Err(DialError { port, source }),
        }
        attempt += 1;
    }
}

fn connect_blocking(port: VsockPort) -> io::Result<OwnedFd> {
    if let Some(path) = test_socket(port) {
        return Ok(StdUnixStream::connect(path)?.into());
    }
    let fd = socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let address = VsockAddr::new(VMADDR_CID_HOST, port.0);
    loop {
        match connect(fd.as_raw_fd(), &address) {
            Err(Errno::EINTR) => {}
            other => return other.map(|()| fd).map_err(io::Error::from),
        }
    }
}

fn test_socket(port: VsockPort) -> Option<PathBuf> {
    let prefix = std::env::var(TEST_SOCKETS).ok()?;
    Some(PathBuf::from(format!("{prefix}_{port}")))
}

fn timed_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// A connection to the host with half-close both ways: shutting down ends what we send, reading goes on.
#[derive(Debug)]
pub(crate) enum HostStream {
    /// The real thing.
    Vsock(VsockStream),
    /// In tests.
    Unix(UnixStream),
}

impl HostStream {
    /// Connects to `port` on the host.
    pub(crate) async fn dial(port: VsockPort) -> Result<Self, DialError> {
        let mut attempt = 1;
        loop {
            match Self::connect(port).await {
                Ok(stream) => return Ok(stream),
                Err(source) if attempt < ATTEMPTS && timed_out(&source) => tokio::time::sleep(PAUSE).await,
                Err(source) => return Err(DialError { port, source }),
            }
            attempt += 1;
        }
    }

    async fn connect(port: VsockPort) -> io::Result<Self> {
        if let Some(path) = test_socket(port) {
            return Ok(Self::Unix(UnixStream::connect(path).await?));
        }
        let address = tokio_vsock::VsockAddr::new(VMADDR_CID_HOST, port.0);
        Ok(Self::Vsock(VsockStream::connect(address).await?))
    }

    /// The socket itself in blocking mode, for a process to have as its stdio.
    pub(crate) fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let fd = match self {
            Self::Vsock(stream) => stream.as_fd().try_clone_to_owned()?,
            Self::Unix(stream) => OwnedFd::from(stream.into_std()?),
        };
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
        Ok(fd)
    }
}

impl AsyncRead for HostStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for HostStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Vsock(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
