//! The one place with unsafe code: what a child process must do between fork and exec.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes `command` pass `descriptors` to the child under their present numbers, and makes the child die with the
/// thread that spawns it (`PR_SET_PDEATHSIG` is about the spawning *thread*, so that thread must outlive the child).
pub(crate) fn tie_to_parent(command: &mut Command, descriptors: &[OwnedFd]) {
    let inherited: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let parent = std::process::id();
    let before_exec = move || {
        // SAFETY: prctl with these arguments reads no memory and is async-signal-safe.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // SAFETY: getppid has no preconditions.
        if unsafe { libc::getppid() }.cast_unsigned() != parent {
            // The parent died before the request above could take effect.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for &descriptor in &inherited {
            // SAFETY: fcntl(F_SETFD) is async-signal-safe; a wrong descriptor is an error, not a hazard.
            check(unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) })?;
        }
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe system calls and does not allocate: the error is built from
    // a number, and the vector is only read.
    unsafe { command.pre_exec(before_exec) };
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
