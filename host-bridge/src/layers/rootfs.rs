//! A container's root file system in a utility VM: mounted layers, a mounted scratch disk, and their union (host side
//! reference, section 2.7; guest protocol, sections 6.1, 6.5 and 16.3).

use lcow_protocol::ContainerId;
use lcow_protocol::messages::{RequestType, ResourceType};
use lcow_protocol::settings::{CombinedLayers, Layer, MappedVirtualDisk};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::attached::{
    AttachError, AttachedLayer, AttachedLayers, PlugError, UnplugError, plug, release_all, unplug,
};
use super::requests::{layer_disk, layer_path, modify};
use crate::guest::{Guest, GuestError};
use crate::uvm::Uvm;
use crate::vmm::{Disk, Lun};

/// Why there is no root file system, or why it is still there.
#[derive(Debug, thiserror::Error)]
pub enum RootFsError {
    /// A disk cannot be plugged in or mounted.
    #[error(transparent)]
    Plug(#[from] PlugError),
    /// A layer cannot be attached.
    #[error(transparent)]
    Layer(#[from] AttachError),
    /// The guest does not lay one over the other.
    #[error("cannot combine the layers in the utility VM")]
    Combine(#[source] GuestError),
    /// The guest's mounts cannot be undone.
    #[error("cannot unmount {what} in the utility VM")]
    Unmount {
        /// What.
        what: &'static str,
        /// Why.
        source: GuestError,
    },
    /// A disk cannot be taken out.
    #[error(transparent)]
    Unplug(#[from] UnplugError),
}

/// A root file system in a utility VM. Dropped without [`RootFs::release`], it stays until the VM ends.
#[derive(Debug)]
pub struct RootFs {
    guest: Guest,
    container: ContainerId,
    scratch: Lun,
    /// What was plugged in for it; nothing if its disks are there as long as the VM is.
    plugged: Option<Plugged>,
}

#[derive(Debug)]
struct Plugged {
    attached: AttachedLayers,
    /// From the lowest up.
    layers: Vec<AttachedLayer>,
}

impl RootFs {
    /// Mounts disks that the VM was booted with, layers from the lowest up, and combines them. If that fails, they are
    /// left as they are: such a VM has no other use.
    pub async fn assemble(
        uvm: &Uvm,
        container: &ContainerId,
        layers: &[Lun],
        scratch: Lun,
    ) -> Result<Self, RootFsError> {
        let root = Self { guest: uvm.guest().clone(), container: container.clone(), scratch, plugged: None };
        // The guest mounts them side by side.
        let mut mounts = JoinSet::new();
        let scratch_disk = (scratch, scratch_disk(container, scratch));
        for (lun, settings) in layers.iter().map(|&lun| (lun, layer_disk(lun))).chain([scratch_disk]) {
            let guest = root.guest.clone();
            mounts.spawn(async move {
                let added = modify(&guest, RequestType::Add, ResourceType::MappedVirtualDisk, settings).await;
                added.map_err(|source| PlugError::Mount { lun, source })
            });
        }
        for mounted in mounts.join_all().await {
            mounted?;
        }
        root.combine(layers).await?;
        Ok(root)
    }

    /// Plugs disks into a running VM, layers from the lowest up, and combines them. Containers share the layers they have
    /// in common; the scratch disk is this one's. If it fails, or nobody waits for it any more, nothing of it is left.
    pub async fn hot_plug(
        attached: &AttachedLayers,
        container: &ContainerId,
        layers: Vec<Disk>,
        scratch: Disk,
    ) -> Result<Self, RootFsError> {
        let (done, made) = oneshot::channel();
        let making = Self::make(attached.clone(), container.clone(), layers, scratch);
        // Half a root cannot be dropped: taking it down takes as many questions as making it.
        tokio::spawn(async move {
            let Err(unwanted) = done.send(making.await) else { return };
            if let Ok(root) = unwanted
                && let Err(error) = root.release().await
            {
                tracing::warn!(%error, "a root that nobody waited for stays");
            }
        });
        made.await.unwrap_or(Err(PlugError::Gone.into()))
    }

    async fn make(
        attached: AttachedLayers,
        container: ContainerId,
        layers: Vec<Disk>,
        scratch: Disk,
    ) -> Result<Self, RootFsError> {
        let uvm = attached.uvm().ok_or(PlugError::Gone)?;
        let plugged =
            tokio::join!(attached.attach(layers), plug(&uvm, &scratch, |lun| scratch_disk(&container, lun)));
        let (layers, scratch) = match plugged {
            (Ok(layers), Ok(scratch)) => (layers, scratch),
            (Ok(layers), Err(error)) => {
                complain(release_all(layers).await);
                return Err(error.into());
            }
            (Err(error), scratch) => {
                if let Ok(lun) = scratch {
                    complain(unplug(&uvm, lun, scratch_disk(&container, lun)).await);
                }
                return Err(error.into());
            }
        };
        let luns: Vec<Lun> = layers.iter().map(AttachedLayer::lun).collect();
        let plugged = Some(Plugged { attached, layers });
        let root = Self { guest: uvm.guest().clone(), container, scratch, plugged };
        if let Err(error) = root.combine(&luns).await {
            // Without an answer the union may be there; taking down what is not there does no harm.
            complain(root.release().await);
            return Err(error);
        }
        Ok(root)
    }

    async fn combine(&self, layers: &[Lun]) -> Result<(), RootFsError> {
        let union = CombinedLayers {
            container_id: self.container.0.clone(),
            container_root_path: self.path(),
            // The guest wants the top-most first.
            layers: layers
                .iter()
                .rev()
                .map(|&lun| Layer { path: layer_path(lun), ..Layer::default() })
                .collect(),
            scratch_path: self.scratch_path(),
        };
        modify(&self.guest, RequestType::Add, ResourceType::CombinedLayers, union)
            .await
            .map_err(RootFsError::Combine)
    }

    /// The container's bundle directory in the guest, where its scratch disk is mounted.
    pub fn bundle(&self) -> String {
        bundle(&self.container)
    }

    /// Where its root is in the guest.
    pub fn path(&self) -> String {
        Self::path_of(&self.container)
    }

    /// Where the root of a container will be in its guest.
    pub fn path_of(container: &ContainerId) -> String {
        format!("{}/rootfs", bundle(container))
    }

    /// The directory on the scratch disk that holds what it writes.
    pub fn scratch_path(&self) -> String {
        format!("{}/scratch/{}", self.bundle(), self.container)
    }

    /// Unmounts the union and the scratch disk, so that the disk's file system is whole. What was hot-plugged is pulled:
    /// the scratch disk, and layers that no other container uses. Disks from the boot stay.
    pub async fn release(mut self) -> Result<(), RootFsError> {
        let failed = |what| move |source| RootFsError::Unmount { what, source };
        let union = CombinedLayers { container_root_path: self.path(), ..CombinedLayers::default() };
        modify(&self.guest, RequestType::Remove, ResourceType::CombinedLayers, union)
            .await
            .map_err(failed("the container's root"))?;
        let scratch = scratch_disk(&self.container, self.scratch);
        let Some(Plugged { attached, layers }) = self.plugged.take() else {
            return modify(&self.guest, RequestType::Remove, ResourceType::MappedVirtualDisk, scratch)
                .await
                .map_err(failed("the scratch disk"));
        };
        // Nothing lies over the layers any more: they go whatever becomes of the scratch disk.
        let uvm = attached.uvm().ok_or(UnplugError::Gone)?;
        let (unplugged, released) = tokio::join!(unplug(&uvm, self.scratch, scratch), release_all(layers));
        Ok(unplugged.and(released)?)
    }
}

impl Drop for RootFs {
    fn drop(&mut self) {
        // The union may be mounted still. Its layers' disks must not be pulled from under it.
        for layer in self.plugged.take().into_iter().flat_map(|plugged| plugged.layers) {
            layer.keep();
        }
    }
}

/// For what is undone after a failure, which is the error to report.
fn complain(undone: Result<(), impl std::error::Error>) {
    if let Err(error) = undone {
        tracing::warn!(%error, "something of a failed root stays in the utility VM");
    }
}

fn bundle(container: &ContainerId) -> String {
    format!("/run/gcs/c/{container}")
}

fn scratch_disk(container: &ContainerId, lun: Lun) -> MappedVirtualDisk {
    MappedVirtualDisk {
        mount_path: bundle(container),
        lun: lun.get(),
        ensure_filesystem: true,
        filesystem: "ext4".into(),
        ..MappedVirtualDisk::default()
    }
}
