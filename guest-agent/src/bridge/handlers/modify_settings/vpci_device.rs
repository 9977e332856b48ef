//! `VPCIDevice` (spec section 6.7).

use std::rc::Rc;

use lcow_protocol::settings::VpciDevice;

use crate::bridge::Failure;
use crate::gcs::Agent;
use crate::storage;

pub(super) async fn add(_: Rc<Agent>, device: VpciDevice) -> Result<(), Failure> {
    storage::wait_for_pci_device(&device.vmbus_guid).await?;
    Ok(())
}
