//! `Network` (spec section 6.6).

use std::rc::Rc;

use lcow_protocol::settings::Network;

use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) async fn add(agent: Rc<Agent>, settings: Network) -> Result<(), Failure> {
    Ok(agent.network.add(settings).await?)
}

pub(super) async fn remove(agent: Rc<Agent>, settings: Network) -> Result<(), Failure> {
    agent.network.remove(&settings.namespace_id, &settings.id);
    Ok(())
}
