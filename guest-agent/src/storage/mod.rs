//! Disks, layers and what is mounted of them (spec sections 6.1 to 6.7 and 9).

mod device_mapper;
mod error;
mod filesystem;
mod layers;
mod mapped_disk;
mod mounts;
mod plan9;
mod scsi;
mod setup;
mod shared;
mod stack;
mod tree;
mod verity;
mod vpci;
mod vpmem;
mod walk;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcow_protocol::ContainerId;

use crate::boot_disks;

pub(crate) use error::Error;
pub(crate) use filesystem::format_ext4;
pub(crate) use mounts::PROPAGATION;
pub(crate) use mounts::is_mount_point;
pub(crate) use mounts::overlay_directory;
pub(crate) use scsi::Address as ScsiAddress;
pub(crate) use shared::{
    create_open_directory, remove_if_empty, share_directory, share_huge_pages, share_memory, unmount_all,
};
pub(crate) use verity::Policy as VerityPolicy;
pub(crate) use vpci::wait_for as wait_for_pci_device;

/// What was set up for the host, so that taking it down does not depend on what the host repeats.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    /// What layers have to fulfil.
    verity: VerityPolicy,
    /// By mount path.
    setups: RefCell<HashMap<PathBuf, setup::Setup>>,
    /// Bundles that are binds of a directory on a scratch disk, by container.
    bundle_binds: RefCell<HashMap<ContainerId, PathBuf>>,
}

impl Storage {
    /// Nothing set up yet.
    pub(crate) fn new(verity: VerityPolicy) -> Self {
        Self { verity, ..Self::default() }
    }
}

/// How long PID 1's child may take to prepare the machine for disks.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until PID 1's child has prepared what disks and overlays need, and loopback. What is missing after that fails by itself.
pub(crate) async fn machine_prepared() {
    let ready = async {
        while !boot_disks::storage_ready() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, ready).await.is_err() {
        tracing::warn!("PID 1 has not prepared the machine for disks");
    }
}

/// Lets go of a disk that the host is about to take away. The kernel writes back what the disk still caches.
pub(crate) async fn unplug(address: ScsiAddress) -> Result<(), Error> {
    blocking(move || scsi::unplug(address)).await
}

/// Removes `path` and everything in it, which may be all that a container has written.
pub(crate) async fn remove_tree(path: &Path) -> Result<(), Error> {
    let path = path.to_owned();
    blocking(move || tree::remove(&path)).await
}

/// Runs file-system work that may block on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Panicked))
}
