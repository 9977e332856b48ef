//! `ModifySettings` (spec section 6).

use std::rc::Rc;

use lcow_protocol::HResult;
use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{Empty, ModifySettings, RequestType, ResourceType};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::cgroup;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: ModifySettings,
) -> Result<Reply<Empty>, Failure> {
    let request = message.request;
    let fail = |text: String| Failure::text(HResult::FAIL, text);
    let resource = ResourceType::from_name(&request.resource_type)
        .ok_or_else(|| fail(format!("invalid ResourceType '{}'", request.resource_type)))?;
    let verb = RequestType::from_name(&request.request_type)
        .ok_or_else(|| fail(format!("the RequestType \"{}\" is not supported", request.request_type)))?;
    if !base.container_id.is_null() {
        agent.containers.get(&base.container_id)?;
    }
    match (resource, verb) {
        (ResourceType::PodCgroupMemoryLimit, RequestType::Update) => {
            cgroup::limit_pods(agent.options.memory_reserve)
                .map_err(|error| Failure::new(HResult::FAIL, &error))?;
            Ok(Empty {}.into())
        }
        _ => Err(fail(format!("the RequestType \"{}\" is not supported", verb.as_str()))),
    }
}
