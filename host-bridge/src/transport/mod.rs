//! How a guest's dials reach the host: listen on a port, receive streams with half-close.
//!
//! A guest always dials the host (guest protocol, section 2). On Linux the streams come from an in-process vhost-user
//! vsock device; on Windows they will come from `AF_HYPERV` sockets.

mod stream;

#[cfg(target_os = "linux")]
pub(crate) mod vsock;

use lcow_protocol::VsockPort;

pub use stream::{GuestStream, Listener};

/// What can go wrong when listening for a guest.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Somebody already listens on the port of this utility VM.
    #[error("cannot listen on vsock port {port}: it is taken")]
    PortTaken {
        /// The port.
        port: VsockPort,
    },
    /// The transport does not exist on this system.
    #[error("no transport to a guest: {missing}")]
    Unavailable {
        /// What would have to be there.
        missing: &'static str,
    },
}

/// Accepts a guest's dials. One per utility VM; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    #[cfg(target_os = "linux")]
    pub(crate) registry: vsock::Registry,
}

#[cfg(target_os = "linux")]
impl Transport {
    /// Listens on a port until the listener is dropped. Dials to a port without a listener are reset.
    pub fn listen(&self, port: VsockPort) -> Result<Listener, TransportError> {
        let receiver = self.registry.listen(port.0).ok_or(TransportError::PortTaken { port })?;
        Ok(Listener::new(port, receiver, self.registry.clone()))
    }
}

#[cfg(not(target_os = "linux"))]
impl Transport {
    /// Fails: `AF_HYPERV` sockets are not wired up yet.
    pub fn listen(&self, _port: VsockPort) -> Result<Listener, TransportError> {
        Err(TransportError::Unavailable { missing: "the AF_HYPERV socket back end is not written yet" })
    }
}
