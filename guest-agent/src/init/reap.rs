//! PID 1's only task once the machine runs: reaping.

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;

/// Reaps every child until `main` has ended; returns its status, 128 plus the number for a signal.
pub(super) fn until_exit(main: Pid) -> nix::Result<u8> {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, status)) if pid == main => {
                return Ok(u8::try_from(status).unwrap_or(u8::MAX));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                return Ok(128 + u8::try_from(signal as i32).unwrap_or(0));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
