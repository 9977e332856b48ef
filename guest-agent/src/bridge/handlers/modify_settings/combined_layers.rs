//! `CombinedLayers` (spec section 6.5).

use std::rc::Rc;

use lcow_protocol::settings::CombinedLayers;

use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) async fn add(agent: Rc<Agent>, layers: CombinedLayers) -> Result<(), Failure> {
    Ok(agent.storage.add_layers(layers).await?)
}

pub(super) async fn remove(agent: Rc<Agent>, layers: CombinedLayers) -> Result<(), Failure> {
    Ok(agent.storage.remove_layers(layers).await?)
}
