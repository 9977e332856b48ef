//! What can go wrong with a container.

use std::io;
use std::path::{Path, PathBuf};

use lcow_protocol::{ContainerId, InvalidContainerId};

use crate::{cgroup, network, runtime, storage, transport};

/// An error of a container operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody has created it, or it has been deleted.
    #[error("container {0} does not exist")]
    NotFound(ContainerId),
    /// `Create` with an id that is in use.
    #[error("container with id exists: {0}")]
    Exists(ContainerId),
    /// An operation while `Create` is at work.
    #[error("container {0} is still being created")]
    Creating(ContainerId),
    /// Its init has been started before.
    #[error("container {0} has been started already")]
    AlreadyStarted(ContainerId),
    /// An exec or a signal without a running init.
    #[error("container not running: {0}")]
    NotRunning(ContainerId),
    /// A delete while init runs.
    #[error("container still running: {0}")]
    StillRunning(ContainerId),
    /// An id that cannot name a directory.
    #[error(transparent)]
    InvalidId(#[from] InvalidContainerId),
    /// Something in the request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A container document that is too old.
    #[error("invalid schema version: {{{major} {minor}}}")]
    Schema {
        /// Its major version.
        major: u32,
        /// Its minor version.
        minor: u32,
    },
    /// A user that the container's root does not know.
    #[error(transparent)]
    User(#[from] super::user::Error),
    /// libcontainer or the worker parent failed.
    #[error("{operation}")]
    Runtime {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: runtime::Error,
    },
    /// The same, for want of the directory in which the process was to start.
    #[error("{operation}: {failure}: working directory {directory}", directory = .directory.display())]
    WorkingDirectory {
        /// What was tried.
        operation: &'static str,
        /// What libcontainer says.
        failure: runtime::Error,
        /// As the process would see it.
        directory: PathBuf,
        /// Why it cannot be entered.
        #[source]
        source: io::Error,
    },
    /// A file or directory.
    #[error("{operation} {path}", path = .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The host's stdio ports.
    #[error(transparent)]
    Dial(#[from] transport::DialError),
    /// Its system call filter.
    #[error(transparent)]
    Filter(#[from] runtime::FilterError),
    /// Its directories.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A pod's network that the host has not described.
    #[error("network namespace {0:?} is not known")]
    NoNetwork(String),
    /// Its network adapters.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// File-system work did not come to its end.
    #[error("the agent failed internally")]
    Panicked,
    /// Its cgroup.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
}

impl Error {
    /// For `map_err` on file operations.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// For `map_err` on the youki seam.
    pub(super) fn runtime(operation: &'static str) -> impl FnOnce(runtime::Error) -> Self {
        move |source| Self::Runtime { operation, source }
    }
}
