//! What may be mounted over the kernel's files about processes. Anything else could make a process believe that it has
//! confined itself, when it has written to somebody's file (CVE-2019-16884, CVE-2025-31133 and others like it).

use std::path::Path;

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use serde_json::Value;

use super::is_bind;
use crate::container::Error;

const PROC: &str = "/proc";

/// The files that lxcfs stands in for, as runc has them.
const STOOD_IN_FOR: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "net/dev",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Refuses a mount whose destination, in which no links are left, is `/proc` or below it, unless it is harmless.
pub(super) fn check(mount: &Value, destination: &Path) -> Result<(), Error> {
    let Ok(place) = destination.strip_prefix(PROC) else { return Ok(()) };
    if place.as_os_str().is_empty() {
        return if is_proc(mount)? { Ok(()) } else { Err(refused(destination, "only a proc file system")) };
    }
    if STOOD_IN_FOR.iter().any(|file| place == Path::new(file)) {
        return Ok(());
    }
    Err(refused(destination, "only the files that lxcfs stands in for"))
}

fn refused(destination: &Path, only: &str) -> Error {
    Error::Invalid(format!("{}: on or below {PROC}, {only} may be mounted there", destination.display()))
}

/// A new one, or another's.
fn is_proc(mount: &Value) -> Result<bool, Error> {
    if !is_bind(mount) {
        return Ok(mount["type"] == "proc");
    }
    let source = Path::new(mount["source"].as_str().unwrap_or_default());
    let shown = statfs(source).map_err(|error| Error::io("looking at", source)(error.into()))?;
    Ok(shown.filesystem_type() == PROC_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn over_the_kernels_files_go_only_such_files_and_those_of_lxcfs() {
        let bind = |source: &str| json!({"type": "bind", "source": source});
        for (mount, destination, may) in [
            (json!({"type": "proc"}), "/proc", true),
            (json!({"type": "proc"}), "/proc/x", false),
            (json!({"type": "tmpfs"}), "/proc", false),
            (json!({"type": "sysfs"}), "/proc", false),
            (json!({"type": "tmpfs"}), "/proc/sys/kernel", false),
            (bind("/proc"), "/proc", true),
            (bind("/etc"), "/proc", false),
            (bind("/no/such/source"), "/proc", false),
            (bind("/etc/hosts"), "/proc/cpuinfo", true),
            (bind("/etc/hosts"), "/proc/net/dev", true),
            (bind("/etc/hosts"), "/proc/self/attr/exec", false),
            (bind("/etc/hosts"), "/proc/cpuinfo/x", false),
            (bind("/etc/hosts"), "/process", true),
            (bind("/etc/hosts"), "/x/proc/self", true),
        ] {
            assert_eq!(check(&mount, Path::new(destination)).is_ok(), may, "{mount} on {destination}");
        }
    }
}
