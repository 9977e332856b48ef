//! What the guest is asked to do with disks (guest protocol, section 6.1).

use lcow_protocol::ContainerId;
use lcow_protocol::messages::{ModifyRequest, ModifySettings, RequestType, ResourceType};
use lcow_protocol::settings::MappedVirtualDisk;
use serde::Serialize;

use crate::guest::{Guest, GuestError};
use crate::vmm::Lun;

/// Where a layer's disk is mounted in the guest.
pub(super) fn layer_path(lun: Lun) -> String {
    format!("/run/mounts/scsi/m{lun}")
}

/// A layer's disk.
pub(super) fn layer_disk(lun: Lun) -> MappedVirtualDisk {
    MappedVirtualDisk {
        mount_path: layer_path(lun),
        lun: lun.get(),
        read_only: true,
        options: vec!["ro".into()],
        ..MappedVirtualDisk::default()
    }
}

/// Changes a resource of the VM.
pub(super) async fn modify(
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
