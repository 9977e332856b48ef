//! `VPMemDevice` (spec section 6.4).

use std::rc::Rc;

use lcow_protocol::settings::VpmemDevice;

use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) async fn add(agent: Rc<Agent>, layer: VpmemDevice) -> Result<(), Failure> {
    Ok(agent.storage.add_pmem(layer).await?)
}

pub(super) async fn remove(agent: Rc<Agent>, layer: VpmemDevice) -> Result<(), Failure> {
    Ok(agent.storage.remove_pmem(layer).await?)
}
