//! Programs of NVIDIA's drivers that run beside the agent, in images that have them (spec section 14.3, step 13).

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use super::PATH;
use super::kmsg::Kmsg;

/// Programs and their arguments.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("/bin/nvidia-persistenced", &[]),
    ("/bin/nv-fabricmanager", &["-c", "/usr/share/nvidia/nvswitch/fabricmanager.cfg"]),
];

/// A program that was started.
pub(super) struct Started {
    name: &'static str,
    process: Child,
}

/// Starts those that are there. Failures go to the kernel log: the machine is of use without them.
pub(super) fn start(kmsg: &Kmsg) -> Vec<Started> {
    let there = PROGRAMS.iter().filter(|(name, _)| Path::new(name).exists());
    let start = |(name, args): &(&'static str, &[&str])| {
        // Without the caller's blocked signals, which `Command` sees to.
        let spawned = Command::new(name).args(*args).env_clear().env("PATH", PATH).process_group(0).spawn();
        match spawned {
            Ok(process) => Some(Started { name, process }),
            Err(error) => {
                kmsg.warning(&format!("init: starting {name}: {error}"));
                None
            }
        }
    };
    there.filter_map(start).collect()
}

/// Waits for their ends, which for those that go on in the background is soon, and says which have failed.
pub(super) fn follow(started: Vec<Started>, kmsg: &Kmsg) {
    for Started { name, mut process } in started {
        match process.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => kmsg.warning(&format!("init: {name} ended with {status}")),
            Err(error) => kmsg.warning(&format!("init: waiting for {name}: {error}")),
        }
    }
}
