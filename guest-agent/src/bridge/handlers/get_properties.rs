//! `GetProperties` (spec section 5.9).

use std::rc::Rc;

use lcow_protocol::HResult;
use lcow_protocol::envelope::RequestBase;
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{GetProperties, GetPropertiesResponse, Properties, PropertyType};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: GetProperties,
) -> Result<Reply<GetPropertiesResponse>, Failure> {
    if base.container_id.is_null() {
        return Err(Failure::text(HResult::FAIL, "getPropertiesV2 is not supported against the UVM"));
    }
    let container = agent.containers.get(&base.container_id)?;
    let mut properties = Properties::default();
    for name in message.query.0.property_types {
        match PropertyType::from_name(&name) {
            Some(PropertyType::ProcessList) => properties.process_list = Some(container.process_list()),
            Some(PropertyType::Statistics) => {
                let metrics = container.cgroup().metrics();
                properties.metrics = Some(metrics.map_err(|error| Failure::new(HResult::FAIL, &error))?);
            }
            None => tracing::warn!(name, "unknown property asked for"),
        }
    }
    Ok(GetPropertiesResponse { properties: Stringified(properties) }.into())
}
