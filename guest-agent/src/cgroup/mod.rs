//! The agent's part of the cgroup tree (spec section 11.1): `/gcs` for itself, `/pods` for all containers.
//!
//! What differs between the two versions of the kernel's interface is a [`Version`], of which `v1` and `v2` each have one;
//! nothing outside of them knows which it is.

mod files;
mod resources;
mod v1;
mod v2;
mod version;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::unistd::Pid;
use serde_json::Value;
use version::Version;

pub(crate) use v2::delegate;
pub(crate) use watch::{follow_agent, follow_kills, follow_memory};

/// Where cgroups are mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";
/// The agent's own cgroup.
const AGENT: &str = "gcs";
/// Parent of all containers.
const PODS: &str = "pods";

/// Processes that were killed take a moment to be gone; for so long a cgroup is tried to be removed.
const REMOVAL: (u32, Duration) = (100, Duration::from_millis(10));

/// What went wrong with a cgroup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or directory that could not be used.
    #[error("{operation} {path}", path = .path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A limit of an OCI document that cannot be set, by its name in there.
    #[error("{name} {reason}")]
    Resource { name: String, reason: &'static str },
}

impl Error {
    fn is(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == kind)
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { operation, path: path.to_owned(), source }
}

/// The cgroups of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups(Rc<dyn Version>);

impl Cgroups {
    /// Creates the agent's part in what PID 1 has mounted: `members` are moved into its own cgroup, and all containers
    /// together are limited to the machine's memory less `reserve` bytes.
    pub(crate) fn prepare(reserve: u64, members: &[Pid]) -> Result<Self, Error> {
        let root = Path::new(ROOT);
        let cgroups = Self(match v2::Tree::find(root) {
            Some(tree) => Rc::new(tree),
            None => Rc::new(v1::Trees::find(root)?),
        });
        let version = &cgroups.0;
        version.prepare()?;
        for name in [AGENT, PODS] {
            version.create(Path::new(name))?;
        }
        version.delegate(Path::new(PODS))?;
        for directory in version.directories(Path::new(AGENT)) {
            for member in members {
                files::set(&directory, "cgroup.procs", &member.to_string())?;
            }
        }
        cgroups.limit_pods(reserve)?;
        Ok(cgroups)
    }

    /// The cgroup that a specification names by `path`.
    pub(crate) fn named(&self, path: &str) -> Cgroup {
        Cgroup { version: Rc::clone(&self.0), path: PathBuf::from(path.trim_start_matches('/')) }
    }

    /// Sets the limit of all containers together to the machine's memory less `reserve` bytes.
    pub(crate) fn limit_pods(&self, reserve: u64) -> Result<(), Error> {
        self.0.limit_memory(Path::new(PODS), memory_beyond(reserve)?)
    }

    /// Changes a container's specification so that the runtime does with these cgroups what it says.
    pub(crate) fn adapt(&self, spec: &mut Value) {
        self.0.adapt(spec);
    }
}

/// The machine's memory less `reserve` in bytes; an error if that leaves nothing.
pub(crate) fn memory_beyond(reserve: u64) -> Result<u64, Error> {
    let total = nix::sys::sysinfo::sysinfo().map(|info| info.ram_total()).unwrap_or_default();
    total.checked_sub(reserve).filter(|rest| *rest > 0).ok_or_else(|| {
        let source = io::Error::other("the machine's memory does not exceed the reserve");
        failed("limiting", Path::new(PODS))(source)
    })
}

/// One cgroup, which need not exist.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    version: Rc<dyn Version>,
    /// Below the root.
    path: PathBuf,
}

impl Cgroup {
    /// Creates it, for further cgroups below it, limited to `resources` as far as cgroups can be: the runtime gets the
    /// same document and has the last word. One that is there already is an error.
    pub(crate) fn create(&self, resources: &Value) -> Result<(), Error> {
        if let Some(directory) = self.version.directories(&self.path).iter().find(|path| path.exists()) {
            return Err(failed("creating", directory)(io::ErrorKind::AlreadyExists.into()));
        }
        self.version.create(&self.path)?;
        self.version.delegate(&self.path)?;
        self.version.limit(&self.path, resources)
    }

    /// Limits it to what an OCI `linux.resources` object says. What it leaves out stays as it is. Device rules are the
    /// runtime's and not touched. Nothing changes if it asks for a limit that these cgroups do not have.
    pub(crate) fn limit(&self, resources: &Value) -> Result<(), Error> {
        if let Some(name) = resources::unknown(resources, |name| self.version.is_known(name)) {
            return Err(resources::refused(&name, self.version.unknown_limit()));
        }
        self.version.limit(&self.path, resources)
    }

    /// Every process in it and below it, by its pid in the root namespace.
    pub(crate) fn processes(&self) -> Result<Vec<u32>, Error> {
        self.version.directories(&self.path).first().map_or(Ok(Vec::new()), |path| files::processes(path))
    }

    /// Kills every process in it and below it at once.
    pub(crate) fn kill(&self) -> Result<(), Error> {
        self.version.kill(&self.path)
    }

    /// Removes it and all below it; its processes must have ended or be about to. If it is gone, that is fine.
    pub(crate) async fn remove(&self) -> Result<(), Error> {
        for directory in self.version.directories(&self.path) {
            remove_soon(&directory).await?;
        }
        Ok(())
    }

    /// Statistics in containerd's layout (spec section 11.2). With version 2 a cgroup that is gone has used nothing,
    /// with version 1 that is an error; hosts know both.
    pub(crate) fn metrics(&self) -> Result<Value, Error> {
        self.version.metrics(&self.path)
    }

    /// How often a process in it was killed for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        self.version.oom_kills(&self.path)
    }
}

async fn remove_soon(directory: &Path) -> Result<(), Error> {
    let (tries, pause) = REMOVAL;
    for _ in 1..tries {
        match files::remove(directory) {
            Err(error) if error.is(io::ErrorKind::ResourceBusy) => {
                tokio::time::sleep(pause).await;
            }
            result => return result,
        }
    }
    files::remove(directory)
}
