//! `CombinedLayers` (spec section 6.5).

use std::rc::Rc;

use lcow_protocol::settings::CombinedLayers;

use crate::bridge::Failure;
use crate::container;
use crate::gcs::Agent;

pub(super) async fn add(agent: Rc<Agent>, layers: CombinedLayers) -> Result<(), Failure> {
    Ok(agent.storage.add_layers(layers).await?)
}

pub(super) async fn remove(agent: Rc<Agent>, layers: CombinedLayers) -> Result<(), Failure> {
    let owner = agent.storage.owner_of(&layers.container_root_path);
    agent.storage.remove_layers(layers).await?;
    // A container undoes the bind of its bundle when it is deleted. One that could not be created never will be.
    if let Some(id) = owner
        && matches!(agent.containers.get(&id), Err(container::Error::NotFound(_)))
    {
        agent.storage.release_bundle(&id).await?;
    }
    Ok(())
}
