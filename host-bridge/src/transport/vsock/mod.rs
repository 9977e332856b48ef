//! A virtio socket device in this process, for QEMU's `vhost-user-vsock-pci`.
//!
//! It follows virtio 1.2, section 5.10, and serves stream sockets that the guest dials to the host (context id 2).
//! The host's end of every connection is a nonblocking Unix stream socket, so half-close, back pressure and
//! vanishing peers mean the same on both sides:
//!
//! | host                          | guest                                                            |
//! |-------------------------------|------------------------------------------------------------------|
//! | `shutdown(Write)`             | reads the end of the stream; can still write                     |
//! | closes                        | reads the end of the stream; a write fails                       |
//! | reads the end of the stream   | `shutdown(SHUT_WR)`; the host can still write                    |
//! | does not read                 | blocks after 256 KiB beyond the socket's buffer; others go on    |
//! | has hundreds that nobody reads| gets 16 KiB for further ones, and at last no more of them        |
//! | no listener, or refuses       | `connect` fails with ECONNRESET                                  |
//!
//! One thread owns the device and all of its connections; nothing in it is shared.

mod budget;
mod buffers;
mod connection;
mod control;
mod device;
mod host;
mod mux;
#[cfg(test)]
mod mux_tests;
mod packet;
mod ring;
mod worker;

use std::io;
use std::os::unix::net::UnixStream;

pub(crate) use host::{HostSide, Registry};

/// The guest's context id. Any would do: every utility VM has its own device.
const GUEST_CID: u64 = 3;

/// Starts a device; QEMU connects to it through the socket that is returned.
pub(crate) fn start(host: HostSide) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    worker::start(ours, GUEST_CID, host)?;
    Ok(theirs)
}
