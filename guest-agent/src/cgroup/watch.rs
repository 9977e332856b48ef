//! Watches over memory (spec section 11.3): the machine's size, the agent's own use, and what was killed for want of
//! it. All of that is only logged.

use std::io;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;
use tokio::io::Interest;

use super::{AGENT, Cgroup, Cgroups, PODS};
use crate::sys;

/// How often the machine's memory is looked at.
const LOOK: Duration = Duration::from_mins(1);

/// How often the agent's own use is looked at: the kernel does not tell of a threshold that limits nothing.
const LOOK_AT_AGENT: Duration = Duration::from_secs(1);

/// How often it is looked whether something was killed, where the kernel does not say.
const LOOK_FOR_KILLS: Duration = Duration::from_secs(1);

/// Every minute: limits all containers together to what the machine has now less `reserve` bytes.
pub(crate) async fn follow_memory(cgroups: Cgroups, reserve: u64) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = cgroups.limit_pods(reserve) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the limit of all containers was not refreshed"
            );
        }
    }
}

/// Says in the log, each time, that the agent has come to use more than `alarm` bytes. It was started at `started`.
pub(crate) async fn follow_agent(cgroups: Cgroups, alarm: u64, started: DateTime<Utc>) {
    let agent = cgroups.named(AGENT);
    let mut exceeded = false;
    let mut count = 0;
    loop {
        let exceeds = agent.version.memory(&agent.path).usage > alarm;
        if exceeds && !exceeded {
            count += 1;
            agent.warn(alarm, count, started);
        }
        exceeded = exceeds;
        tokio::time::sleep(LOOK_AT_AGENT).await;
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
    /// Says in the log that it has had `count` processes killed for want of memory. The agent was started at `started`.
    pub(crate) fn warn_of_kills(&self, count: u64, started: DateTime<Utc>) {
        self.warn(self.version.memory(&self.path).limit, count, started);
    }

    /// What hosts look for in the log (spec section 11.3).
    fn warn(&self, threshold: u64, count: u64, started: DateTime<Utc>) {
        let metrics = self.version.metrics(&self.path).unwrap_or_default();
        let [memory, swap, kernel] = ["usage", "swap", "kernel"].map(|name| &metrics["memory"][name]);
        // What is left out of the metrics is zero.
        let number = |of: &Value, name: &str| of[name].as_u64().unwrap_or(0);
        tracing::warn!(
            gcsStartTime = started.to_rfc3339_opts(SecondsFormat::Nanos, true),
            cgroup = %Path::new("/").join(&self.path).display(), thresholdBytes = threshold, count,
            cgroup_version = self.version.name(),
            memoryUsage = number(memory, "usage"), memoryUsageMax = number(memory, "max"),
            memoryUsageLimit = number(memory, "limit"),
            swapUsage = number(swap, "usage"), swapUsageMax = number(swap, "max"), swapUsageLimit = number(swap, "limit"),
            kernelUsage = number(kernel, "usage"), kernelUsageMax = number(kernel, "max"),
            kernelUsageLimit = number(kernel, "limit"),
            "memory usage for cgroup exceeded threshold"
        );
    }
}
