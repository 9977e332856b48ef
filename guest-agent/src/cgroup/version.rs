//! What differs between the versions of the kernel's interface.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Error;

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryUse {
    /// Used now.
    pub(super) usage: u64,
    /// What may be used; 0 if there is no limit.
    pub(super) limit: u64,
}

/// One version, and where it is mounted. Cgroups are named by their paths below the root, without a slash in front.
pub(super) trait Version: Debug {
    /// What hosts call it in logs.
    fn name(&self) -> &'static str;

    /// Makes the root fit for what is below it.
    fn prepare(&self) -> Result<(), Error>;

    /// Every directory that a cgroup is. The first one has all its processes.
    fn directories(&self, path: &Path) -> Vec<PathBuf>;

    /// Makes a cgroup. One that is there is fine.
    fn create(&self, path: &Path) -> Result<(), Error>;

    /// Makes it possible to limit the cgroups below one that has no processes itself.
    fn delegate(&self, path: &Path) -> Result<(), Error>;

    /// Whether [`Version::limit`] makes something of a limit, by its path in an OCI `linux.resources` object.
    fn is_known(&self, name: &str) -> bool;

    /// What is said of a limit that is not.
    fn unknown_limit(&self) -> &'static str;

    /// Limits a cgroup to what an OCI `linux.resources` object says. What it leaves out stays as it is. Device rules are
    /// the runtime's and not touched.
    fn limit(&self, path: &Path, resources: &Value) -> Result<(), Error>;

    /// Limits a cgroup and all below it to so many bytes of memory.
    fn limit_memory(&self, path: &Path, bytes: u64) -> Result<(), Error>;

    /// What a cgroup and all below it use.
    fn memory(&self, path: &Path) -> MemoryUse;

    /// How often a process of a cgroup was killed for want of memory.
    fn oom_kills(&self, path: &Path) -> u64;

    /// A file that the kernel marks as changed whenever [`Version::oom_kills`] of that cgroup or of any below it may have
    /// changed, if there is such a thing.
    fn oom_events(&self, path: &Path) -> Option<PathBuf>;

    /// Kills every process in a cgroup and below it.
    fn kill(&self, path: &Path) -> Result<(), Error>;

    /// Statistics in containerd's layout (spec section 11.2).
    fn metrics(&self, path: &Path) -> Result<Value, Error>;

    /// Changes a container's specification so that libcontainer does with this version what it says.
    fn adapt(&self, spec: &mut Value);
}
