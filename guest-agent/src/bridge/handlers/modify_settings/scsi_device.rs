//! `SCSIDevice` (spec section 6.2).

use std::rc::Rc;

use lcow_protocol::settings::ScsiDevice;

use crate::bridge::Failure;
use crate::gcs::Agent;
use crate::storage::{self, ScsiAddress};

pub(super) async fn remove(_: Rc<Agent>, device: ScsiDevice) -> Result<(), Failure> {
    let ScsiDevice { controller, lun } = device;
    Ok(storage::unplug(ScsiAddress { controller, lun }).await?)
}
