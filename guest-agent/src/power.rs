//! Ends the machine.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::reboot::{RebootMode, reboot};

/// How long file systems may take to be written. One that is stuck, because its host or its disk is gone, would hold
/// the machine for ever.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As asked for: it is switched off.
    Off,
    /// Something went wrong: a reset, which ends a utility VM and lets its host tell the difference.
    Reset,
}

/// Writes back what can be written and ends the machine. Returns only if the kernel refuses.
pub(crate) fn end(how: End) -> nix::Error {
    let (done, synchronised) = mpsc::channel();
    // Without a thread there is nothing to be written in time either.
    let _ = thread::Builder::new().name("sync".to_owned()).spawn(move || {
        nix::unistd::sync();
        done.send(())
    });
    let _ = synchronised.recv_timeout(PATIENCE);
    let mode = match how {
        End::Off => RebootMode::RB_POWER_OFF,
        End::Reset => RebootMode::RB_AUTOBOOT,
    };
    let Err(error) = reboot(mode);
    error
}
