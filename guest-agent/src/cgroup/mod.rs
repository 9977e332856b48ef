//! The agent's part of the cgroup tree (spec section 11.1): `/gcs` for itself, `/pods` for all containers.

mod metrics;
mod resources;
mod watch;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) use metrics::{metrics, oom_kills};
pub(crate) use resources::apply;
pub(crate) use watch::{follow_kills, follow_memory, warn_of_kills};

/// Where cgroups are mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";
/// The agent's own cgroup.
const AGENT: &str = "gcs";
/// Parent of all containers.
const PODS: &str = "pods";

/// A cgroup file or directory that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}", path = .path.display())]
pub(crate) struct Error {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error { operation, path: path.to_owned(), source }
}

/// Creates the tree, moves the calling process into its own cgroup and limits all containers together to the
/// machine's memory less `reserve` bytes.
pub(crate) fn prepare(reserve: u64) -> Result<(), Error> {
    let root = Path::new(ROOT);
    if !is_unified(root) {
        let source = io::Error::other(
            "cgroup version 1 is mounted, and containers can be limited with version 2 only",
        );
        return Err(failed("using", root)(source));
    }
    for name in [AGENT, PODS] {
        let path = Path::new(ROOT).join(name);
        match fs::create_dir(&path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("creating", &path)(source));
            }
            _ => {}
        }
    }
    let procs = Path::new(ROOT).join(AGENT).join("cgroup.procs");
    fs::write(&procs, "0").map_err(failed("joining", &procs))?;
    delegate(&Path::new(ROOT).join(PODS))?;
    limit_pods(reserve)
}

/// Whether version 2 is mounted at `root`.
fn is_unified(root: &Path) -> bool {
    root.join("cgroup.controllers").exists()
}

/// Makes every controller of `cgroup` available to its children.
pub(crate) fn delegate(cgroup: &Path) -> Result<(), Error> {
    let path = cgroup.join("cgroup.controllers");
    let controllers = fs::read_to_string(&path).map_err(failed("reading", &path))?;
    let wanted: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    let path = cgroup.join("cgroup.subtree_control");
    fs::write(&path, wanted.join(" ")).map_err(failed("writing", &path))
}

/// Sets the limit of all containers together to the machine's memory less `reserve` bytes.
pub(crate) fn limit_pods(reserve: u64) -> Result<(), Error> {
    let total = nix::sys::sysinfo::sysinfo().map(|info| info.ram_total()).unwrap_or_default();
    let path = Path::new(ROOT).join(PODS).join("memory.max");
    let limit = total.checked_sub(reserve).filter(|limit| *limit > 0).ok_or_else(|| {
        failed("limiting", &path)(io::Error::other("the machine's memory does not exceed the reserve"))
    })?;
    fs::write(&path, limit.to_string()).map_err(failed("writing", &path))
}

/// Creates the cgroup of a pod, limited to `resources`.
pub(crate) fn create_pod(cgroup: &Path, resources: &Value) -> Result<(), Error> {
    fs::create_dir(cgroup).map_err(failed("creating", cgroup))?;
    delegate(cgroup)?;
    apply(cgroup, resources)
}

/// The directory of the cgroup that a specification names by `path`.
pub(crate) fn directory(path: &str) -> PathBuf {
    Path::new(ROOT).join(path.trim_start_matches('/'))
}

/// Every process in `cgroup` and below it, by its pid in the root namespace.
pub(crate) fn processes(cgroup: &Path) -> Result<Vec<u32>, Error> {
    let mut found = Vec::new();
    let mut open = vec![cgroup.to_owned()];
    while let Some(directory) = open.pop() {
        let path = directory.join("cgroup.procs");
        let text = fs::read_to_string(&path).map_err(failed("reading", &path))?;
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        let entries = fs::read_dir(&directory).map_err(failed("listing", &directory))?;
        let children = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        open.extend(children.map(|entry| entry.path()));
    }
    Ok(found)
}

/// Kills every process in `cgroup` and below it at once.
pub(crate) fn kill(cgroup: &Path) -> Result<(), Error> {
    let path = cgroup.join("cgroup.kill");
    match fs::write(&path, "1") {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("writing", &path)(source)),
        _ => Ok(()),
    }
}

/// Removes `cgroup` and all below it; it must be empty of processes. A cgroup that is gone is fine.
pub(crate) fn remove(cgroup: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    match fs::remove_dir(cgroup) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("removing", cgroup)(source)),
        _ => Ok(()),
    }
}
