//! PID 1's only task once the machine runs: reaping.

use nix::unistd::Pid;

use crate::sys;

/// Reaps every child until `main` has ended; returns its status, 128 plus the number for a signal.
pub(super) fn until_exit(main: Pid) -> nix::Result<u8> {
    loop {
        if let Some(reaped) = sys::reap(true)?
            && reaped.pid == main
        {
            return Ok(u8::try_from(reaped.status).unwrap_or(u8::MAX));
        }
    }
}
