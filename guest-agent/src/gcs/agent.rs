//! What handlers work on: each part owns its own state, none is shared behind a lock.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use chrono::{DateTime, Utc};
use lcow_protocol::{ContainerId, ProcessId};
use nix::unistd::{Pid, getpid};
use tokio::sync::Notify;

use super::Options;
use crate::bridge::{Outbound, Requests};
use crate::cgroup::{self, Cgroups};
use crate::container::{Containers, Pods};
use crate::network::Network;
use crate::process::VmProcesses;
use crate::runtime::{self, Filters};
use crate::storage::Storage;

/// The agent's parts.
pub(crate) struct Agent {
    /// The flags it was started with.
    pub(crate) options: Options,
    /// When that was, by the clock of that time.
    pub(crate) started: DateTime<Utc>,
    /// The worker parent, with which the agent shares its cgroup.
    workers: Pid,
    cgroups: OnceCell<Cgroups>,
    /// The youki seam.
    pub(crate) runtime: Rc<runtime::Client>,
    /// Processes of the VM itself.
    pub(crate) vm_processes: VmProcesses,
    /// Containers by id.
    pub(crate) containers: Containers,
    /// What the containers of a pod share.
    pub(crate) pods: Pods,
    /// Network adapters.
    pub(crate) network: Network,
    /// Whether the host has set its policy; it may do so once.
    pub(crate) policy_set: Cell<bool>,
    /// Compiled system call filters.
    pub(crate) filters: Filters,
    /// Disks and layers.
    pub(crate) storage: Storage,
    /// Frames on their way to the host.
    pub(crate) outbound: Outbound,
    /// The protocol is agreed upon, and the host knows.
    pub(crate) answered: Notify,
    /// What the host has asked for and not been answered yet.
    pub(crate) requests: Requests,
}

impl Agent {
    /// An agent without containers and without a connection.
    pub(crate) fn new(options: Options, workers: Pid, runtime: Rc<runtime::Client>) -> Rc<Self> {
        let storage = Storage::new(options.verity.clone());
        Rc::new(Self {
            options,
            started: Utc::now(),
            workers,
            cgroups: OnceCell::new(),
            runtime,
            vm_processes: VmProcesses::default(),
            containers: Containers::default(),
            pods: Pods::default(),
            network: Network::default(),
            policy_set: Cell::default(),
            filters: Filters::default(),
            storage,
            outbound: Outbound::default(),
            answered: Notify::new(),
            requests: Requests::default(),
        })
    }
}

impl Agent {
    /// The machine's cgroups, made when they are first asked for: the host's first answer need not wait for them.
    pub(crate) fn cgroups(&self) -> Result<&Cgroups, cgroup::Error> {
        if let Some(cgroups) = self.cgroups.get() {
            return Ok(cgroups);
        }
        let cgroups = Cgroups::prepare(self.options.memory_reserve, &[getpid(), self.workers])?;
        Ok(self.cgroups.get_or_init(|| cgroups))
    }

    /// Forgets a process whose exit status the host has got. A container's init is kept until the container is
    /// deleted, because it can be waited for again.
    pub(crate) fn forget_process(&self, container: &ContainerId, pid: ProcessId) {
        if container.is_null() {
            self.vm_processes.forget(pid);
        } else if let Ok(container) = self.containers.get(container) {
            container.forget_exec(pid);
        }
    }
}
