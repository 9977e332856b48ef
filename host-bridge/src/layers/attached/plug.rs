//! A disk in a running VM: plugged in and mounted in the guest, or neither.

use std::future::Future;
use std::sync::Weak;

use lcow_protocol::messages::{RequestType, ResourceType};
use lcow_protocol::settings::{MappedVirtualDisk, ScsiDevice};

use crate::guest::GuestError;
use crate::layers::requests::{layer_disk, modify};
use crate::uvm::Uvm;
use crate::vmm::{Disk, Lun, VmmError};

/// Why a disk is not in a VM.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// It cannot be plugged in.
    #[error(transparent)]
    Vmm(#[from] VmmError),
    /// The guest does not mount it.
    #[error("cannot mount the disk at LUN {lun} in the utility VM")]
    Mount {
        /// Which disk.
        lun: Lun,
        /// Why.
        source: GuestError,
    },
    /// There is no VM any more.
    #[error("the utility VM is gone")]
    Gone,
}

/// Why a disk is still in a VM.
#[derive(Debug, thiserror::Error)]
pub enum UnplugError {
    /// It is still mounted; another try may help.
    #[error("cannot unmount the disk at LUN {lun} in the utility VM")]
    Unmount {
        /// Which disk.
        lun: Lun,
        /// Why.
        source: GuestError,
    },
    /// The guest does not let go of it. Its unit stays taken.
    #[error("the utility VM does not let go of the disk at LUN {lun}")]
    Eject {
        /// Which disk.
        lun: Lun,
        /// Why.
        source: GuestError,
    },
    /// It cannot be pulled. Its unit stays taken.
    #[error(transparent)]
    Vmm(#[from] VmmError),
    /// There is no VM any more.
    #[error("the utility VM is gone")]
    Gone,
}

/// Plugs a disk in and mounts it; undone if that fails.
pub(in crate::layers) async fn plug(
    uvm: &Uvm,
    disk: &Disk,
    settings: impl FnOnce(Lun) -> MappedVirtualDisk,
) -> Result<Lun, PlugError> {
    let lun = uvm.attach_disk(disk).await?;
    let settings = settings(lun);
    let mounted =
        modify(uvm.guest(), RequestType::Add, ResourceType::MappedVirtualDisk, settings.clone()).await;
    let Err(source) = mounted else { return Ok(lun) };
    // An answer that is lost leaves open whether it is mounted. The first error is the one to report.
    if let Err(error) = unplug(uvm, lun, settings).await {
        tracing::warn!(%lun, %error, "a disk that was not mounted stays plugged in");
    }
    Err(PlugError::Mount { lun, source })
}

/// Unmounts a disk and pulls it.
pub(in crate::layers) async fn unplug(
    uvm: &Uvm,
    lun: Lun,
    settings: MappedVirtualDisk,
) -> Result<(), UnplugError> {
    let device = ScsiDevice { lun: lun.get(), ..ScsiDevice::default() };
    modify(uvm.guest(), RequestType::Remove, ResourceType::MappedVirtualDisk, settings)
        .await
        .map_err(|source| UnplugError::Unmount { lun, source })?;
    modify(uvm.guest(), RequestType::Remove, ResourceType::SCSIDevice, device)
        .await
        .map_err(|source| UnplugError::Eject { lun, source })?;
    Ok(uvm.detach_disk(lun).await?)
}

/// What the owner of attachments needs of a VM.
pub(super) trait Plug: Clone + Send + Sync + 'static {
    /// Plugs a layer's disk in and mounts it; undone if that fails.
    fn attach(self, disk: Disk) -> impl Future<Output = Result<Lun, PlugError>> + Send;

    /// Unmounts a layer's disk and pulls it.
    fn detach(self, lun: Lun) -> impl Future<Output = Result<(), UnplugError>> + Send;
}

/// Attachments do not keep a VM alive: with it, they are gone.
impl Plug for Weak<Uvm> {
    async fn attach(self, disk: Disk) -> Result<Lun, PlugError> {
        let uvm = self.upgrade().ok_or(PlugError::Gone)?;
        plug(&uvm, &disk, layer_disk).await
    }

    async fn detach(self, lun: Lun) -> Result<(), UnplugError> {
        let uvm = self.upgrade().ok_or(UnplugError::Gone)?;
        unplug(&uvm, lun, layer_disk(lun)).await
    }
}
