//! Version 1: a tree for each controller (the kernel's `Documentation/admin-guide/cgroup-v1`).

mod adapt;
mod block_io;
mod kill;
mod limits;
mod metrics;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::{self, make, number, set};
use super::resources::Setting;
use super::version::{MemoryUse, Version};
use super::{Error, failed};

/// Without a limit the kernel shows the largest multiple of a page, which no machine has.
const NO_LIMIT: u64 = 1 << 62;
/// The processors and the memory nodes of a cpuset: unlike everything else, a new one has none of them.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Where the trees are mounted, each in a directory with its controller's name.
#[derive(Debug)]
pub(super) struct Trees {
    root: PathBuf,
    controllers: Vec<String>,
}

impl Trees {
    /// The trees that are mounted below `root`.
    pub(super) fn find(root: &Path) -> Result<Self, Error> {
        let entries = fs::read_dir(root).map_err(failed("listing", root))?.flatten();
        let mut controllers: Vec<String> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter(|entry| entry.path().join("cgroup.procs").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        if controllers.is_empty() {
            return Err(failed("using", root)(io::Error::other("no cgroups are mounted there")));
        }
        controllers.sort();
        Ok(Self { root: root.to_owned(), controllers })
    }

    #[cfg(test)]
    fn at(root: &Path, controllers: &[&str]) -> Self {
        Self {
            root: root.to_owned(),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// A cgroup in the tree of `controller`.
    fn directory(&self, controller: &str, path: &Path) -> PathBuf {
        self.root.join(controller).join(path)
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// Gives a new cpuset what the one above it has.
fn inherit_cpuset(cgroup: &Path) -> Result<(), Error> {
    for file in CPUSET {
        let read = |directory: &Path| {
            let path = directory.join(file);
            fs::read_to_string(&path).map_err(failed("reading", &path))
        };
        if read(cgroup)?.trim().is_empty() {
            set(cgroup, file, read(cgroup.parent().unwrap_or(cgroup))?.trim())?;
        }
    }
    Ok(())
}

impl Version for Trees {
    fn name(&self) -> &'static str {
        "v1"
    }

    /// Spec section 11.1. Newer kernels always add up what is below, and some have no file for it any more.
    fn prepare(&self) -> Result<(), Error> {
        let memory = self.root.join("memory");
        match set(&memory, "memory.use_hierarchy", "1") {
            Err(error)
                if !error.is(io::ErrorKind::NotFound)
                    && number(&memory, "memory.use_hierarchy") != Some(1) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    fn directories(&self, path: &Path) -> Vec<PathBuf> {
        self.controllers.iter().map(|controller| self.directory(controller, path)).collect()
    }

    fn create(&self, path: &Path) -> Result<(), Error> {
        for cgroup in self.directories(path) {
            make(&cgroup)?;
        }
        if self.has("cpuset") { inherit_cpuset(&self.directory("cpuset", path)) } else { Ok(()) }
    }

    fn delegate(&self, _: &Path) -> Result<(), Error> {
        Ok(())
    }

    fn is_known(&self, name: &str) -> bool {
        limits::is_known(name)
    }

    fn unknown_limit(&self) -> &'static str {
        "is no limit that cgroups of version 1 have"
    }

    fn limit(&self, path: &Path, resources: &Value) -> Result<(), Error> {
        let now = self.memory(path).limit;
        for (controller, Setting { file, text }) in limits::settings(resources, now)? {
            match set(&self.directory(controller, path), &file, &text) {
                Err(error) if file == limits::SWAP && error.is(io::ErrorKind::NotFound) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn limit_memory(&self, path: &Path, bytes: u64) -> Result<(), Error> {
        set(&self.directory("memory", path), limits::MEMORY, &bytes.to_string())
    }

    fn memory(&self, path: &Path) -> MemoryUse {
        let cgroup = self.directory("memory", path);
        MemoryUse {
            usage: number(&cgroup, "memory.usage_in_bytes").unwrap_or(0),
            limit: number(&cgroup, limits::MEMORY).filter(|limit| *limit < NO_LIMIT).unwrap_or(0),
        }
    }

    fn oom_kills(&self, path: &Path) -> u64 {
        metrics::oom_kills(self, path)
    }

    /// `memory.oom_control` can only tell of the cgroup itself and of those above it, not of those below.
    fn oom_events(&self, _: &Path) -> Option<PathBuf> {
        None
    }

    fn kill(&self, path: &Path) -> Result<(), Error> {
        kill::kill(self, path)
    }

    fn metrics(&self, path: &Path) -> Result<Value, Error> {
        metrics::metrics(self, path)
    }

    fn adapt(&self, spec: &mut Value) {
        adapt::adapt(self, spec);
    }
}

impl Trees {
    fn processes(&self, path: &Path) -> Vec<u32> {
        let mut found: Vec<u32> = self
            .directories(path)
            .iter()
            .flat_map(|cgroup| files::processes(cgroup).unwrap_or_default())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
