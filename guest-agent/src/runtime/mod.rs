//! The youki seam: containers and processes are created by a single-threaded process of their own.
//!
//! `gcs` forks the *worker parent* before it starts tokio. For each operation that needs libcontainer the worker
//! parent forks a short-lived *worker*, because libcontainer changes its caller for good (dumpable, OOM score,
//! working directory) and must never run beside other threads. Container processes are made as siblings of the
//! worker, so they are children of the worker parent: it alone reaps, it alone signals, and so no signal can hit
//! a pid that has been given to somebody else. It is also the containers' subreaper.
//!
//! ```text
//! gcs (tokio) ==socket== worker parent ---> worker (libcontainer; one operation)
//!                                     \---> container init, exec'd process, VM-level process
//! ```

mod client;
mod complaints;
mod early;
mod executor;
mod failure_pipe;
mod filter;
mod home;
mod loopback;
mod messages;
mod overdue;
mod parent;
mod pending;
mod spawn;
mod split_cgroup;
mod sysctl;
mod worker;

pub(crate) use client::{Child, Client, Error};
pub(crate) use executor::{Propagation, search};
pub(crate) use failure_pipe::{FailurePipe, FailureWriter};
pub(crate) use filter::{Error as FilterError, Filter, Filters};
pub(crate) use messages::{ContainerJob, FailureKind, ProcessJob, SpawnJob, Stdio, TerminalSocket};
pub(crate) use parent::{Handle as ParentHandle, fork as fork_parent};

/// libcontainer's state directory.
pub(crate) const STATE_ROOT: &str = "/run/gcsrunc";
