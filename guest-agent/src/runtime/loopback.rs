//! The loopback interface of a new network namespace: libcontainer leaves it down, where runc takes it up (spec section
//! 10.3).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::sys;

/// Takes up `lo` in the network namespace of the process `pid`, which becomes the calling process's.
pub(super) fn bring_up(pid: u32) -> io::Result<()> {
    setns(File::open(format!("/proc/{pid}/ns/net"))?, CloneFlags::CLONE_NEWNET)?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        match socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) {
            // Whichever family asks, the interface is up for both.
            Ok(socket) => return Ok(sys::interface_up(socket.as_fd(), "lo")?),
            Err(Errno::EAFNOSUPPORT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
