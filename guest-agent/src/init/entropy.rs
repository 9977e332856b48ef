//! Boot entropy from the host (spec section 14.3, step 12). Every failure is survivable.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;

use lcow_protocol::VsockPort;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::time::{TimeVal, TimeValLike};

use super::kmsg::Kmsg;
use crate::{sys, transport};

/// A host that accepts but never sends must not hold up the boot.
const PATIENCE_SECONDS: i64 = 10;

/// Reads the port until the host closes it and credits every byte to the kernel's pool.
pub(super) fn seed(port: VsockPort, kmsg: &Kmsg) {
    match read_and_credit(port) {
        Ok(0) => kmsg.warning("init: the host sent no entropy"),
        Ok(_) => {}
        Err(error) => kmsg.warning(&format!("init: entropy from host port {port}: {error}")),
    }
}

fn read_and_credit(port: VsockPort) -> Result<usize, Box<dyn std::error::Error>> {
    let socket = transport::dial_blocking(port)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
    let random = OpenOptions::new().write(true).open("/dev/random")?;
    let mut source = File::from(socket);
    let mut chunk = [0; sys::ENTROPY_CHUNK];
    let mut total = 0;
    loop {
        let count = source.read(&mut chunk)?;
        if count == 0 {
            return Ok(total);
        }
        sys::add_entropy(random.as_fd(), &chunk[..count])?;
        total += count;
    }
}
