//! Layer disks in a running VM, each attached and mounted once for all containers that use it.
//!
//! One task owns the attachments of a VM and counts their users; attaching and detaching go on beside it. Nothing is
//! lost when a caller gives up: an attachment that nobody waits for any more is taken down again.

mod owner;
mod plug;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};

use super::requests;
use crate::uvm::Uvm;
use crate::vmm::{Disk, Lun};
use owner::{Command, Owner};

pub use plug::{PlugError, UnplugError};
pub(super) use plug::{plug, unplug};

/// Why a layer is not attached.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot attach the layer disk {}", path.display())]
pub struct AttachError {
    /// Its file.
    pub path: PathBuf,
    /// Why: the same for all who waited for it.
    pub source: Arc<PlugError>,
}

/// The layer disks of one VM; there should be one set for each. Cheap to clone, and does not keep the VM alive.
#[derive(Clone, Debug)]
pub struct AttachedLayers {
    uvm: Weak<Uvm>,
    owner: mpsc::UnboundedSender<Command>,
}

impl AttachedLayers {
    /// No layers yet. Must be called on a runtime.
    pub fn new(uvm: &Arc<Uvm>) -> Self {
        let uvm = Arc::downgrade(uvm);
        Self { owner: Owner::spawn(uvm.clone()), uvm }
    }

    /// The VM, unless it is gone.
    pub(super) fn uvm(&self) -> Option<Arc<Uvm>> {
        self.uvm.upgrade()
    }

    /// Attaches the layers that are not attached yet, and takes a reference to each: all or none.
    pub async fn attach(&self, disks: Vec<Disk>) -> Result<Vec<AttachedLayer>, AttachError> {
        attach_all(&self.owner, disks).await
    }
}

/// A reference to an attached layer. Dropped without [`AttachedLayer::release`], it is given back in the background.
#[derive(Debug)]
pub struct AttachedLayer {
    path: PathBuf,
    lun: Lun,
    /// Taken when the reference is given back.
    owner: Option<mpsc::UnboundedSender<Command>>,
}

impl AttachedLayer {
    /// Where its disk is.
    pub fn lun(&self) -> Lun {
        self.lun
    }

    /// Where it is mounted in the guest.
    pub fn mount_path(&self) -> String {
        requests::layer_path(self.lun)
    }

    /// Gives the reference back. The last one has the disk unmounted and pulled, which is waited for.
    pub async fn release(mut self) -> Result<(), UnplugError> {
        let (done, released) = oneshot::channel();
        self.give_back(Some(done));
        // Without an answer the runtime that owned the attachments has ended.
        released.await.unwrap_or(Err(UnplugError::Gone))
    }

    /// Gives no reference back: something may still use the disk, which stays until the VM ends.
    pub(super) fn keep(mut self) {
        self.owner = None;
    }

    fn give_back(&mut self, done: Option<oneshot::Sender<Result<(), UnplugError>>>) {
        if let Some(owner) = self.owner.take() {
            // Without an owner there is nothing to give it back to.
            let _ = owner.send(Command::Release { path: self.path.clone(), done });
        }
    }
}

impl Drop for AttachedLayer {
    fn drop(&mut self) {
        self.give_back(None);
    }
}

async fn attach_all(
    owner: &mpsc::UnboundedSender<Command>,
    disks: Vec<Disk>,
) -> Result<Vec<AttachedLayer>, AttachError> {
    // All are asked for before the first is waited for.
    let coming: Vec<_> = disks
        .into_iter()
        .map(|disk| {
            let (reply, attached) = oneshot::channel();
            let path = disk.path.clone();
            // Without an owner the reply is dropped, which is seen below.
            let _ = owner.send(Command::Attach { disk: Disk { read_only: true, ..disk }, reply });
            (path, attached)
        })
        .collect();
    let mut layers = Vec::with_capacity(coming.len());
    let mut failed = None;
    for (path, attached) in coming {
        let gone = || AttachError { path, source: Arc::new(PlugError::Gone) };
        match attached.await.unwrap_or_else(|_| Err(gone())) {
            Ok(layer) => layers.push(layer),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let Some(error) = failed else { return Ok(layers) };
    release_all(layers).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "a layer of a failed container stays attached");
    });
    Err(error)
}

/// Gives all references back; the first error is reported.
pub(super) async fn release_all(layers: Vec<AttachedLayer>) -> Result<(), UnplugError> {
    let mut result = Ok(());
    for layer in layers {
        result = result.and(layer.release().await);
    }
    result
}
