//! What can go wrong with a network adapter.

use std::io;
use std::path::PathBuf;

use super::dhcp;
use crate::storage;

/// An error of a network operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The namespace has an adapter of that id.
    #[error("namespace {namespace} has the adapter {id} already")]
    Exists {
        /// The namespace.
        namespace: String,
        /// The adapter.
        id: String,
    },
    /// A namespace has one process at most.
    #[error("namespace {namespace} has a process already")]
    Attached {
        /// The namespace.
        namespace: String,
    },
    /// The host has sent no address, and there was none to be had.
    #[error("{interface} has no address")]
    Lease {
        /// The interface.
        interface: String,
        /// Why there is no lease.
        #[source]
        source: dhcp::Error,
    },
    /// `resolv.conf` could not be brought up to date.
    #[error("writing {path}", path = .path.display())]
    ResolvConf {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The device did not show up in time, or is ambiguous.
    #[error("no network interface for adapter {id}: {reason}")]
    NoInterface {
        /// The adapter.
        id: String,
        /// What was looked for.
        reason: String,
    },
    /// An assigned PCI device.
    #[error(transparent)]
    Pci(#[from] storage::Error),
    /// Something in the settings makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// More search domains than a resolver takes.
    #[error("{0} DNS search domains are more than 6")]
    TooManySearches(usize),
    /// The kernel refused a step.
    #[error("{operation} {subject}")]
    Step {
        /// What was tried.
        operation: &'static str,
        /// With what.
        subject: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The thread that configures ended early.
    #[error("the thread that configures an adapter failed")]
    Panicked,
}

impl Error {
    /// For `map_err` on steps.
    pub(super) fn step(operation: &'static str, subject: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Step { operation, subject: subject.to_string(), source }
    }
}
