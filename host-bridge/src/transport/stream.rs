//! Streams from a guest and the listeners that yield them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// One connection from a guest.
///
/// `AsyncWriteExt::shutdown` closes the sending side only: the guest reads the end of the stream and can still write.
/// Dropping the stream closes it altogether.
pub struct GuestStream(Box<dyn Duplex>);

impl fmt::Debug for GuestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestStream")
    }
}

impl AsyncRead for GuestStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::io;
    use std::os::unix::net::UnixStream;

    use tokio::sync::mpsc;

    use lcow_protocol::VsockPort;

    use super::GuestStream;
    use crate::transport::vsock::Registry;

    /// Listens on one port of one utility VM; dropping it closes the port and what waits there.
    #[derive(Debug)]
    pub struct Listener {
        port: VsockPort,
        receiver: mpsc::Receiver<UnixStream>,
        registry: Registry,
    }

    impl Listener {
        pub(crate) fn new(port: VsockPort, receiver: mpsc::Receiver<UnixStream>, registry: Registry) -> Self {
            Self { port, receiver, registry }
        }

        /// The port.
        pub fn port(&self) -> VsockPort {
            self.port
        }

        /// Waits for the guest's next dial. Cancel safe; needs a tokio runtime.
        pub async fn accept(&mut self) -> io::Result<GuestStream> {
            let stream = self.receiver.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok(GuestStream(Box::new(tokio::net::UnixStream::from_std(stream)?)))
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            self.registry.close(self.port.0);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::io;

    use lcow_protocol::VsockPort;

    use super::GuestStream;

    /// Listens on one port of one utility VM. Cannot exist on this system yet.
    #[derive(Debug)]
    pub struct Listener(std::convert::Infallible);

    impl Listener {
        /// The port.
        pub fn port(&self) -> VsockPort {
            match self.0 {}
        }

        /// Waits for the guest's next dial.
        #[allow(clippy::unused_async)] // The signature is the other platform's.
        pub async fn accept(&mut self) -> io::Result<GuestStream> {
            match self.0 {}
        }
    }
}

pub use platform::Listener;
