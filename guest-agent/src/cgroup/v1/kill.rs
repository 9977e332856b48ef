//! Killing all at once, for which version 1 has no file.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as signal};
use nix::unistd::Pid;

use super::Trees;
use crate::cgroup::files::{children, set};
use crate::cgroup::{Error, failed};

const STATE: &str = "freezer.state";

/// What was made while the processes were listed is found in the next round. While they are frozen there is nothing new, so
/// that the second finds none, but where there is no freezer only a short race is left to the processes.
const ROUNDS: u32 = 16;

/// Kills every process in the cgroup and below it. Those that are dying when it returns are not waited for.
pub(super) fn kill(trees: &Trees, path: &Path) -> Result<(), Error> {
    let mut killed = Vec::new();
    for _ in 0..ROUNDS {
        let freezer = trees.directory("freezer", path);
        let frozen = freezer.exists();
        if frozen {
            set(&freezer, STATE, "FROZEN")?;
        }
        let found: Vec<u32> = trees.processes(path).into_iter().filter(|pid| !killed.contains(pid)).collect();
        let outcome = found.iter().try_for_each(|pid| kill_one(*pid));
        if frozen {
            thaw(&freezer)?;
        }
        outcome.map_err(|errno| failed("killing the processes of", path)(errno.into()))?;
        if found.is_empty() {
            return Ok(());
        }
        killed.extend(found);
    }
    Ok(())
}

/// Only a process that runs can die, and a container may have frozen cgroups below its own.
fn thaw(freezer: &Path) -> Result<(), Error> {
    set(freezer, STATE, "THAWED")?;
    children(freezer).map_err(failed("listing", freezer))?.try_for_each(|child| thaw(&child))
}

/// A process that has ended meanwhile is fine. Its pid cannot have been given to another one in the time since it was listed:
/// the kernel goes through all other numbers first.
fn kill_one(pid: u32) -> Result<(), Errno> {
    match signal(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL) {
        Err(Errno::ESRCH) | Ok(()) => Ok(()),
        Err(errno) => Err(errno),
    }
}
