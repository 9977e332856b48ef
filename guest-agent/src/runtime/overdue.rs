//! Ending jobs that take too long: a container can stop what joins it, and a disk may never answer.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};

/// Pause between two attempts, and how many there are: something that was just being made may have been missed.
const AGAIN: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 30;

/// A job that was given up. Whatever works on it has the write end of the worker's result pipe, which closes only when a
/// program is run.
pub(super) struct Overdue {
    result: File,
    again: Instant,
    attempts: u32,
}

impl Overdue {
    /// Kills the worker, which must not have been reaped, and all that it has made.
    pub(super) fn kill(worker: Pid, result: File, now: Instant) -> Self {
        kill_with_descendants(&result, Some(worker));
        Self { result, again: now + AGAIN, attempts: 1 }
    }

    /// When to look again.
    pub(super) fn again(&self) -> Instant {
        self.again
    }

    /// Hangs up when the last of them is gone.
    pub(super) fn result(&self) -> BorrowedFd<'_> {
        self.result.as_fd()
    }

    /// Kills what is left; false if that was tried for long enough.
    pub(super) fn kill_again(&mut self, now: Instant) -> bool {
        if now >= self.again {
            kill_with_descendants(&self.result, None);
            self.again = now + AGAIN;
            self.attempts += 1;
        }
        self.attempts < ATTEMPTS
    }
}

/// Kills those that hold the pipe, and `worker`, with everything that they have started.
fn kill_with_descendants(pipe: &File, worker: Option<Pid>) {
    let Ok(pipe) = pipe.metadata() else { return };
    let pipe = format!("pipe:[{}]", pipe.ino());
    let parents = parents();
    let holders = parents.keys().copied().filter(|pid| *pid != getpid() && holds(*pid, &pipe));
    let mut doomed: HashSet<Pid> = holders.chain(worker).collect();
    while let Some(child) = parents
        .iter()
        .find(|(pid, parent)| doomed.contains(parent) && !doomed.contains(pid))
        .map(|(pid, _)| *pid)
    {
        doomed.insert(child);
    }
    for pid in doomed {
        // Fails if it has ended meanwhile.
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// All processes and their parents.
fn parents() -> HashMap<Pid, Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let number = |name: &str| name.parse().ok().map(Pid::from_raw);
    let pids = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?));
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // "pid (name) state ppid ...", where the name may be anything.
        let (_, rest) = stat.rsplit_once(')')?;
        Some((pid, number(rest.split_whitespace().nth(1)?)?))
    })
    .collect()
}

/// Whether a process has a descriptor to write to that is called `target`: workers that were forked since have the pipe's
/// other end for a moment. Reading the link asks no file system, nor does its mode, which tells how the descriptor is open.
fn holds(pid: Pid, target: &str) -> bool {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let is_for_writing = |fd: &fs::DirEntry| fd.metadata().is_ok_and(|link| link.mode() & 0o200 != 0);
    fds.flatten()
        .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link == Path::new(target)) && is_for_writing(&fd))
}
