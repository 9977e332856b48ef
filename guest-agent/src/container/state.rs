//! One container.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::rc::Rc;

use chrono::{DateTime, Utc};
use lcow_protocol::messages::ProcessEntry;
use lcow_protocol::{ActivityId, ContainerId, ProcessId};
use serde_json::Value;

use super::prepare::Attachment;
use super::rewrite::TeeLog;
use crate::cgroup::Cgroup;
use crate::process::{Asked, ConsoleSocket, Process, Pty, Relays, StdioPipes};
use crate::runtime::{FailurePipe, FailureWriter, Stdio, TerminalSocket};

/// A container that `Create` has finished with.
#[derive(Debug)]
pub(crate) struct Container {
    pub(super) id: ContainerId,
    /// That of the `Create`; goes into the notification.
    pub(super) activity: ActivityId,
    pub(super) bundle: PathBuf,
    /// Removed with the container; empty if the host named none.
    pub(super) scratch: PathBuf,
    /// The specification, before its filter and capabilities were split off for the executor.
    pub(super) spec: Value,
    pub(super) cgroup: Cgroup,
    /// What init's output is copied to.
    pub(super) tee: Option<TeeLog>,
    /// The namespace whose adapters it has.
    pub(super) network: Option<Attachment>,
    /// Its pid namespace is its own, so nothing in it outlives init.
    pub(super) owns_pid_namespace: bool,
    pub(super) init: Rc<Process>,
    pub(super) state: RefCell<State>,
    /// How many processes were killed for want of memory, as far as that was logged.
    pub(super) oom_kills: Cell<u64>,
    /// The relays of init, once it has been started.
    pub(super) relays: RefCell<Relays>,
    pub(super) execs: RefCell<HashMap<ProcessId, Rc<Process>>>,
}

/// How far it has come. That init has ended is init's own state.
#[derive(Debug)]
pub(super) enum State {
    /// `Create` is done; init waits to be let go.
    Created(Waiting),
    /// The first `ExecuteProcess` is at work, or done.
    Started,
}

/// What a created container keeps for its start.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) stdio: InitStdio,
    pub(super) failures: FailurePipe,
}

/// Init's standard streams, not yet connected to the host.
#[derive(Debug)]
pub(super) enum InitStdio {
    Pipes(StdioPipes),
    Terminal(Rc<Pty>),
}

/// What a process's standard streams will be while it is being created.
pub(super) enum PlannedStdio {
    Pipes(StdioPipes),
    Terminal(ConsoleSocket),
}

impl PlannedStdio {
    /// What a job says about its streams, and the descriptors that go with it, the failure pipe's last.
    pub(super) fn for_job(&self, failures: &FailureWriter) -> (Stdio, Vec<RawFd>) {
        let (stdio, mut fds) = match self {
            Self::Pipes(pipes) => (Stdio::Streams, pipes.raw().to_vec()),
            Self::Terminal(socket) => (Stdio::Terminal(TerminalSocket(socket.path().to_owned())), Vec::new()),
        };
        fds.push(failures.raw());
        (stdio, fds)
    }
}

impl Container {
    /// The process with that id: init or an exec.
    pub(crate) fn process(&self, id: ProcessId) -> Option<Rc<Process>> {
        if self.init.id() == id {
            return Some(Rc::clone(&self.init));
        }
        self.execs.borrow().get(&id).cloned()
    }

    /// Logs what was killed in it for want of memory since the last call; the agent was started at `started`.
    pub(crate) fn report_oom_kills(&self, started: DateTime<Utc>) {
        let count = self.cgroup.oom_kills();
        if count > self.oom_kills.replace(count) {
            self.cgroup.warn_of_kills(count, started);
        }
    }

    /// Its cgroup.
    pub(crate) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Forgets an exec; init is kept.
    pub(crate) fn forget_exec(&self, id: ProcessId) {
        self.execs.borrow_mut().remove(&id);
    }

    /// Nobody waits for its output any more, nor for that of its execs.
    pub(super) fn give_up_output(&self) {
        self.init.ask(Asked::Nevermore);
        self.execs.borrow().values().for_each(|exec| exec.ask(Asked::Nevermore));
    }

    /// Whether init has been let go and has not ended.
    pub(super) fn is_running(&self) -> bool {
        matches!(*self.state.borrow(), State::Started) && self.init.child().status().is_none()
    }

    /// Every process in its cgroup, and those of ours that have not been reaped (spec section 5.9): the pid of one that has
    /// is anybody's.
    pub(crate) fn process_list(&self) -> Vec<ProcessEntry> {
        // A frame to the host holds about 2 400 entries (spec section 3.3).
        const MOST: usize = 2000;
        let mut pids = self.cgroup.processes().unwrap_or_default();
        let execs = self.execs.borrow();
        let ours = execs.values().chain([&self.init]);
        pids.extend(ours.filter(|process| process.child().status().is_none()).map(|process| process.id().0));
        pids.sort_unstable();
        pids.dedup();
        pids.truncate(MOST);
        pids.into_iter().map(|pid| ProcessEntry { process_id: ProcessId(pid) }).collect()
    }

    /// A line for people.
    pub(super) fn describe(&self) -> String {
        let state = match (&*self.state.borrow(), self.init.status()) {
            (_, Some(status)) => format!("exited with {status}"),
            (State::Created(_), None) => "created".to_owned(),
            (State::Started, None) => "running".to_owned(),
        };
        format!(
            "container {}: {state}, init {}, {} execs",
            self.id,
            self.init.id(),
            self.execs.borrow().len()
        )
    }
}
