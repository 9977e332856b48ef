//! Version 2: one tree with all controllers (the kernel's `Documentation/admin-guide/cgroup-v2.rst`).

mod block_io;
mod limits;
mod metrics;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::files::{limit, make, number, set};
use super::resources::Setting;
use super::version::{MemoryUse, Version};
use super::{Error, PODS, failed};

const CONTROLLERS: &str = "cgroup.controllers";

/// Where the tree is mounted.
#[derive(Debug)]
pub(super) struct Tree(PathBuf);

impl Tree {
    /// The tree that is mounted at `root`, if there is one.
    pub(super) fn find(root: &Path) -> Option<Self> {
        root.join(CONTROLLERS).exists().then(|| Self(root.to_owned()))
    }
}

/// Makes every controller of `cgroup`, a directory, available to its children.
pub(crate) fn delegate(cgroup: &Path) -> Result<(), Error> {
    let path = cgroup.join(CONTROLLERS);
    let controllers = fs::read_to_string(&path).map_err(failed("reading", &path))?;
    let wanted: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    set(cgroup, "cgroup.subtree_control", &wanted.join(" "))
}

impl Version for Tree {
    fn name(&self) -> &'static str {
        "v2"
    }

    fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }

    fn directories(&self, path: &Path) -> Vec<PathBuf> {
        vec![self.0.join(path)]
    }

    fn create(&self, path: &Path) -> Result<(), Error> {
        make(&self.0.join(path))
    }

    fn delegate(&self, path: &Path) -> Result<(), Error> {
        delegate(&self.0.join(path))
    }

    fn is_known(&self, name: &str) -> bool {
        limits::is_known(name)
    }

    fn unknown_limit(&self) -> &'static str {
        "is no limit that cgroups of version 2 have"
    }

    fn limit(&self, path: &Path, resources: &Value) -> Result<(), Error> {
        let cgroup = self.0.join(path);
        for Setting { file, text } in limits::settings(resources, &cgroup)? {
            match set(&cgroup, &file, &text) {
                Err(error) if file == limits::SWAP && error.is(io::ErrorKind::NotFound) => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn limit_memory(&self, path: &Path, bytes: u64) -> Result<(), Error> {
        set(&self.0.join(path), "memory.max", &bytes.to_string())
    }

    fn memory(&self, path: &Path) -> MemoryUse {
        let cgroup = self.0.join(path);
        MemoryUse {
            usage: number(&cgroup, "memory.current").unwrap_or(0),
            limit: limit(&cgroup, "memory.max").filter(|limit| *limit != u64::MAX).unwrap_or(0),
        }
    }

    fn oom_kills(&self, path: &Path) -> u64 {
        metrics::oom_kills(&self.0.join(path))
    }

    fn oom_events(&self, path: &Path) -> Option<PathBuf> {
        Some(self.0.join(path).join("memory.events"))
    }

    fn kill(&self, path: &Path) -> Result<(), Error> {
        let path = self.0.join(path).join("cgroup.kill");
        match fs::write(&path, "1") {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("writing", &path)(source)),
            _ => Ok(()),
        }
    }

    fn metrics(&self, path: &Path) -> Result<Value, Error> {
        Ok(metrics::metrics(&self.0.join(path)))
    }

    fn adapt(&self, spec: &mut Value) {
        let resources = &mut spec["linux"]["resources"];
        limits::take_out(resources);
        let accounts_for_swap = self.0.join(PODS).join(limits::SWAP).exists();
        let Some(Setting { file, text }) = limits::left_out(resources).filter(|_| accounts_for_swap) else {
            return;
        };
        let unified = &mut resources["unified"];
        if unified.is_null() {
            *unified = json!({});
        }
        // Anything else is refused by libcontainer, in its own words.
        if let Some(files) = unified.as_object_mut() {
            files.entry(file).or_insert(text.into());
        }
    }
}
