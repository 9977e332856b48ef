//! Watches over memory (spec section 11.3): the machine's size, the agent's own use, and what was killed for want of
//! it. All of that is only logged.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;

use super::{AGENT, PODS, ROOT, limit_pods, oom_kills};
use crate::sys;

/// How often the machine's memory is looked at.
const LOOK: Duration = Duration::from_mins(1);

/// At once and every minute: limits all containers together to what the machine has now less `reserve` bytes, and looks
/// whether the agent itself uses more than `alarm` bytes.
pub(crate) async fn follow_memory(reserve: u64, alarm: u64) {
    let mut exceeded = false;
    loop {
        if let Err(error) = limit_pods(reserve) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the limit of all containers was not refreshed"
            );
        }
        let cgroup = Path::new(ROOT).join(AGENT);
        let current = fs::read_to_string(cgroup.join("memory.current"));
        let usage: u64 = current.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if usage > alarm && !exceeded {
            warn(&cgroup, alarm, usage, 1);
        }
        exceeded = usage > alarm;
        tokio::time::sleep(LOOK).await;
    }
}

/// Calls `killed` whenever a process of a container was killed for want of memory.
pub(crate) async fn follow_kills(mut killed: impl FnMut()) -> io::Result<()> {
    let cgroup = Path::new(ROOT).join(PODS);
    let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    // The kernel counts what happens below, too, and reports each change of the file.
    events.add_watch(&cgroup.join("memory.events"), AddWatchFlags::IN_MODIFY)?;
    let events = sys::async_fd(events.into())?;
    let mut seen = oom_kills(&cgroup);
    loop {
        events.async_io(Interest::READABLE, |fd| Ok(nix::unistd::read(fd, &mut [0; 4096])?)).await?;
        let count = oom_kills(&cgroup);
        if count > seen {
            seen = count;
            killed();
        }
    }
}

/// What hosts look for in the log.
fn warn(cgroup: &Path, threshold: u64, usage: u64, count: u64) {
    tracing::warn!(
        cgroup = %cgroup.display(), thresholdBytes = threshold, count, cgroup_version = "v2", memoryUsage = usage,
        "memory usage for cgroup exceeded threshold"
    );
}

/// Says in the log that `cgroup` has had `count` processes killed for want of memory.
pub(crate) fn warn_of_kills(cgroup: &Path, count: u64) {
    let number = |file: &str| -> u64 {
        let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    warn(cgroup, number("memory.max"), number("memory.peak"), count);
}
