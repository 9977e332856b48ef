//! Watches over memory (spec section 11.3): the machine's size, the agent's own use, and what was killed for want of
//! it. All of that is only logged.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;

use super::version::MemoryUse;
use super::{AGENT, Cgroup, Cgroups, PODS};
use crate::sys;

/// How often the machine's memory is looked at.
const LOOK: Duration = Duration::from_mins(1);

/// How often it is looked whether something was killed, where the kernel does not say.
const LOOK_FOR_KILLS: Duration = Duration::from_secs(1);

/// Every minute: limits all containers together to what the machine has now less `reserve` bytes, and looks whether the
/// agent itself uses more than `alarm` bytes, which it does at once, too.
pub(crate) async fn follow_memory(cgroups: Cgroups, reserve: u64, alarm: u64) {
    let agent = cgroups.named(AGENT);
    let mut exceeded = false;
    loop {
        let memory = agent.version.memory(&agent.path);
        if memory.usage > alarm && !exceeded {
            agent.warn(MemoryUse { limit: alarm, ..memory }, 1);
        }
        exceeded = memory.usage > alarm;
        tokio::time::sleep(LOOK).await;
        if let Err(error) = cgroups.limit_pods(reserve) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the limit of all containers was not refreshed"
            );
        }
    }
}

/// Calls `look` whenever a process of a container may have been killed for want of memory.
pub(crate) async fn follow_kills(cgroups: &Cgroups, mut look: impl FnMut()) -> io::Result<()> {
    let Some(file) = cgroups.0.oom_events(Path::new(PODS)) else {
        loop {
            tokio::time::sleep(LOOK_FOR_KILLS).await;
            look();
        }
    };
    let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    events.add_watch(&file, AddWatchFlags::IN_MODIFY)?;
    let events = sys::async_fd(events.into())?;
    let mut seen = cgroups.0.oom_kills(Path::new(PODS));
    loop {
        events.async_io(Interest::READABLE, |fd| Ok(nix::unistd::read(fd, &mut [0; 4096])?)).await?;
        // The file also changes a hundred times a second while a container's memory is reclaimed at its limit.
        let count = cgroups.0.oom_kills(Path::new(PODS));
        if std::mem::replace(&mut seen, count) != count {
            look();
        }
    }
}

impl Cgroup {
    /// Says in the log that it has had `count` processes killed for want of memory.
    pub(crate) fn warn_of_kills(&self, count: u64) {
        self.warn(self.version.memory(&self.path), count);
    }

    /// What hosts look for in the log.
    fn warn(&self, memory: MemoryUse, count: u64) {
        tracing::warn!(
            cgroup = %Path::new("/").join(&self.path).display(), thresholdBytes = memory.limit, count,
            cgroup_version = self.version.name(), memoryUsage = memory.usage, memoryUsageMax = memory.peak,
            "memory usage for cgroup exceeded threshold"
        );
    }
}
