//! `MappedDirectory` (spec section 6.3).

use std::rc::Rc;

use lcow_protocol::settings::MappedDirectory;

use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) async fn add(agent: Rc<Agent>, share: MappedDirectory) -> Result<(), Failure> {
    Ok(agent.storage.add_directory(share).await?)
}

pub(super) async fn remove(agent: Rc<Agent>, share: MappedDirectory) -> Result<(), Failure> {
    Ok(agent.storage.remove_directory(share).await?)
}
