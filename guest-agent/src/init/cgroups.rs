//! Mounts cgroups (spec section 14.3, step 9): version 2, unless the host asks for version 1 or the kernel has no device
//! programs.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use nix::mount::{MsFlags, umount};

use super::kmsg::Kmsg;
use crate::cgroup::{self, ROOT};
use crate::sys;

const V1_WORD: &str = "hcsshim.cgroup=v1";
const FLAGS: MsFlags = MsFlags::MS_NODEV.union(MsFlags::MS_NOSUID).union(MsFlags::MS_NOEXEC);

/// Cgroups cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("mounting cgroup {what}: {source}")]
    Mount { what: String, source: nix::Error },
    #[error("{operation} {path}: {source}")]
    Io { operation: &'static str, path: String, source: std::io::Error },
    #[error("{0}: {source}", source = std::error::Error::source(.0).map(ToString::to_string).unwrap_or_default())]
    Delegate(#[from] cgroup::Error),
    #[error("the kernel has no cgroup controllers")]
    NoControllers,
}

/// Mounts what the host asks for and the kernel can do.
pub(super) fn mount(kmsg: &Kmsg) -> Result<(), Error> {
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if command_line.split_whitespace().any(|word| word == V1_WORD) {
        return mount_v1();
    }
    mount_kind("cgroup2", "cgroup2", ROOT, "")?;
    let root = open(ROOT)?;
    if !sys::cgroup_device_programs_supported(root.as_fd()) {
        kmsg.warning("init: the kernel has no cgroup device programs, using cgroup version 1");
        drop(root);
        umount(ROOT).map_err(|source| Error::Mount { what: "2 (undoing)".to_owned(), source })?;
        return mount_v1();
    }
    Ok(cgroup::delegate(Path::new(ROOT))?)
}

fn mount_v1() -> Result<(), Error> {
    mount_kind("cgroup_root", "tmpfs", ROOT, "mode=0755")?;
    let table = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let enabled: Vec<&str> = enabled_controllers(&table).collect();
    for controller in &enabled {
        let target = format!("{ROOT}/{controller}");
        fs::create_dir(&target).map_err(|source| Error::Io {
            operation: "creating",
            path: target.clone(),
            source,
        })?;
        mount_kind("cgroup", "cgroup", &target, controller)?;
    }
    if enabled.is_empty() { Err(Error::NoControllers) } else { Ok(()) }
}

/// Names in `/proc/cgroups` (name, hierarchy, number, enabled) whose last column is 1.
fn enabled_controllers(table: &str) -> impl Iterator<Item = &str> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?;
        (fields.nth(2) == Some("1")).then_some(name)
    })
}

fn mount_kind(source: &str, kind: &str, target: &str, data: &str) -> Result<(), Error> {
    nix::mount::mount(Some(source), target, Some(kind), FLAGS, Some(data))
        .map_err(|error| Error::Mount { what: format!("{kind} {data} on {target}"), source: error })
}

fn open(path: impl AsRef<Path>) -> Result<fs::File, Error> {
    let path = path.as_ref();
    fs::File::open(path).map_err(|source| Error::Io {
        operation: "opening",
        path: path.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enabled_controllers_are_mounted() {
        let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\nmemory\t0\t1\t0\npids\t0\t1\t1\nodd\n";
        assert_eq!(enabled_controllers(table).collect::<Vec<_>>(), ["cpu", "pids"]);
    }
}
