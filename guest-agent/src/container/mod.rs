//! Containers: their life cycle, and the changes to their specifications.
//!
//! Each container owns its state; handlers run on one thread and never hold a borrow across an await, so there
//! is no lock to take.

mod annotations;
mod capabilities;
mod confinement;
mod create;
mod delete;
mod error;
mod exec;
mod guest_path;
mod identity_files;
mod job_file;
mod kind;
mod lifecycle;
mod pods;
mod prepare;
mod registry;
mod rewrite;
mod root_completion;
mod runtime_spec;
mod sandbox;
mod standalone;
mod state;
mod user;
mod working_directory;
mod workload;

pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use error::Error;
pub(crate) use exec::exec;
pub(crate) use lifecycle::{shutdown, start};
pub(crate) use pods::Pods;
pub(crate) use registry::Containers;
pub(crate) use root_completion::{NAME as COMPLETE_ROOT, main as complete_root};
pub(crate) use state::Container;

/// Runs file-system work on a thread of its own: a bundle or a root may be on a disk that has stopped to answer.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Panicked))
}
