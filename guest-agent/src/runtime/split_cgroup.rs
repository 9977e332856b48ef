//! Containers that have divided their cgroup among their processes, as systemd and nested container engines do.
//!
//! In version 2 a cgroup whose controllers are enabled for those below it can have no processes of its own
//! (`Documentation/admin-guide/cgroup-v2.rst`, "No Internal Process Constraint"). An exec then joins init's own cgroup,
//! which is below the container's and so within its limits.

use std::fs;
use std::path::Path;

/// Where below the cgroup that a container was given, an absolute path, its processes have to be; `None` if they can be in
/// that itself, as they always can with version 1.
pub(super) fn below(cgroup: &Path, init: libc::pid_t) -> Option<String> {
    let directory = Path::new(crate::cgroup::ROOT).join(cgroup.strip_prefix("/").unwrap_or(cgroup));
    let enabled = fs::read_to_string(directory.join("cgroup.subtree_control")).ok()?;
    if enabled.trim().is_empty() {
        return None;
    }
    of_process(&fs::read_to_string(format!("/proc/{init}/cgroup")).ok()?, cgroup)
}

/// What the text of `/proc/PID/cgroup` has below `cgroup`.
fn of_process(text: &str, cgroup: &Path) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = Path::new(path).strip_prefix(cgroup).ok()?;
    below.to_str().filter(|below| !below.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_containers_cgroup_is_joined() {
        let cgroup = Path::new("/pods/c");
        for (text, expected) in [
            ("0::/pods/c/init.scope\n", Some("init.scope")),
            ("3:cpu:/x\n0::/pods/c/a/b\n", Some("a/b")),
            ("0::/pods/c\n", None),
            ("0::/pods/cc/init\n", None),
            ("3:cpu:/pods/c/a\n", None),
        ] {
            assert_eq!(of_process(text, cgroup), expected.map(str::to_owned), "{text}");
        }
    }
}
