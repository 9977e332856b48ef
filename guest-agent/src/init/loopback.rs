//! Brings the loopback interface up (spec section 14.3, step 10).

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::kmsg::Kmsg;
use crate::sys;

/// Sets the interface's flags; a kernel without an address family is fine, anything else is only reported.
pub(super) fn bring_up(kmsg: &Kmsg) {
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let result = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .and_then(|socket| sys::interface_up(socket.as_fd(), "lo"));
        match result {
            Ok(()) | Err(Errno::EAFNOSUPPORT) => {}
            Err(error) => kmsg.warning(&format!("init: bringing up lo: {error}")),
        }
    }
}
