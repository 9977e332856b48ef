//! A container's root file system in a utility VM: mounted layers, a mounted scratch disk, and their union (host side
//! reference, section 2.7; guest protocol, sections 6.1, 6.5 and 16.3).

use lcow_protocol::ContainerId;
use lcow_protocol::messages::{ModifyRequest, ModifySettings, RequestType, ResourceType};
use lcow_protocol::settings::{CombinedLayers, Layer, MappedVirtualDisk};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::guest::{Guest, GuestError};
use crate::uvm::Uvm;
use crate::vmm::{Disk, Lun, VmmError};

/// Why there is no root file system.
#[derive(Debug, thiserror::Error)]
pub enum RootFsError {
    /// The guest does not mount a disk.
    #[error("cannot mount the disk at LUN {lun} in the utility VM")]
    Mount {
        /// Which disk.
        lun: Lun,
        /// Why.
        source: GuestError,
    },
    /// The guest does not lay one over the other.
    #[error("cannot combine the layers in the utility VM")]
    Combine(#[source] GuestError),
    /// A disk cannot be plugged in.
    #[error(transparent)]
    Vmm(#[from] VmmError),
    /// The guest's mounts cannot be undone.
    #[error("cannot unmount {what} in the utility VM")]
    Unmount {
        /// What.
        what: &'static str,
        /// Why.
        source: GuestError,
    },
}

/// A root file system in a utility VM.
#[derive(Debug)]
pub struct RootFs {
    guest: Guest,
    container: ContainerId,
    scratch: Lun,
}

/// Plugs disks into a running VM, in this order.
pub async fn hot_plug(uvm: &Uvm, disks: &[Disk]) -> Result<Vec<Lun>, RootFsError> {
    let mut luns = Vec::with_capacity(disks.len());
    for disk in disks {
        luns.push(uvm.attach_disk(disk).await?);
    }
    Ok(luns)
}

impl RootFs {
    /// Mounts disks that are plugged in, layers from the lowest up, and combines them.
    pub async fn assemble(
        uvm: &Uvm,
        container: &ContainerId,
        layers: &[Lun],
        scratch: Lun,
    ) -> Result<Self, RootFsError> {
        let root = Self { guest: uvm.guest().clone(), container: container.clone(), scratch };
        // The guest mounts them side by side.
        let mut mounts = JoinSet::new();
        for (lun, settings) in
            layers.iter().map(|&lun| (lun, layer_disk(lun))).chain([(scratch, root.scratch_disk())])
        {
            let guest = root.guest.clone();
            mounts.spawn(async move {
                let added = modify(&guest, RequestType::Add, ResourceType::MappedVirtualDisk, settings).await;
                added.map_err(|source| RootFsError::Mount { lun, source })
            });
        }
        for mounted in mounts.join_all().await {
            mounted?;
        }
        let union = CombinedLayers {
            container_id: container.0.clone(),
            container_root_path: root.path(),
            // The guest wants the top-most first.
            layers: layers
                .iter()
                .rev()
                .map(|&lun| Layer { path: layer_path(lun), ..Layer::default() })
                .collect(),
            scratch_path: root.scratch_path(),
        };
        modify(&root.guest, RequestType::Add, ResourceType::CombinedLayers, union)
            .await
            .map_err(RootFsError::Combine)?;
        Ok(root)
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

    /// Unmounts the union and the scratch disk, so that the disk's file system is whole. The layers stay.
    pub async fn release(self) -> Result<(), RootFsError> {
        let failed = |what| move |source| RootFsError::Unmount { what, source };
        let union = CombinedLayers { container_root_path: self.path(), ..CombinedLayers::default() };
        modify(&self.guest, RequestType::Remove, ResourceType::CombinedLayers, union)
            .await
            .map_err(failed("the container's root"))?;
        modify(&self.guest, RequestType::Remove, ResourceType::MappedVirtualDisk, self.scratch_disk())
            .await
            .map_err(failed("the scratch disk"))
    }

    fn scratch_disk(&self) -> MappedVirtualDisk {
        MappedVirtualDisk {
            mount_path: self.bundle(),
            lun: self.scratch.get(),
            ensure_filesystem: true,
            filesystem: "ext4".into(),
            ..MappedVirtualDisk::default()
        }
    }
}

fn bundle(container: &ContainerId) -> String {
    format!("/run/gcs/c/{container}")
}

fn layer_path(lun: Lun) -> String {
    format!("/run/mounts/scsi/m{lun}")
}

fn layer_disk(lun: Lun) -> MappedVirtualDisk {
    MappedVirtualDisk {
        mount_path: layer_path(lun),
        lun: lun.get(),
        read_only: true,
        options: vec!["ro".into()],
        ..MappedVirtualDisk::default()
    }
}

async fn modify(
    guest: &Guest,
    request: RequestType,
    resource: ResourceType,
    settings: impl Serialize,
) -> Result<(), GuestError> {
    let settings = serde_json::to_value(settings).map_err(GuestError::Encode)?;
    let request = ModifyRequest {
        request_type: request.as_str().into(),
        resource_type: resource.as_str().into(),
        settings,
    };
    guest.call(&ContainerId::null(), ModifySettings { request }).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_layer_is_mounted_as_stock_hosts_do() {
        let settings = |lun| serde_json::to_value(layer_disk(Lun::new(lun).expect("lun"))).expect("json");
        assert_eq!(
            settings(2),
            json!({ "MountPath": "/run/mounts/scsi/m2", "Lun": 2, "ReadOnly": true, "Options": ["ro"] })
        );
        // LUN 0 is not written.
        assert_eq!(
            settings(0),
            json!({ "MountPath": "/run/mounts/scsi/m0", "ReadOnly": true, "Options": ["ro"] })
        );
    }
}
