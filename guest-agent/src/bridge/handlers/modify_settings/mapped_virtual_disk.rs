//! `MappedVirtualDisk` (spec section 6.1).

use std::rc::Rc;

use lcow_protocol::settings::MappedVirtualDisk;

use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) async fn add(agent: Rc<Agent>, disk: MappedVirtualDisk) -> Result<(), Failure> {
    Ok(agent.storage.add_disk(disk).await?)
}

pub(super) async fn remove(agent: Rc<Agent>, disk: MappedVirtualDisk) -> Result<(), Failure> {
    Ok(agent.storage.remove_disk(disk).await?)
}
