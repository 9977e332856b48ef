//! `ModifySettings` (spec section 6).

use std::rc::Rc;

use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{Empty, ModifySettings, RequestType, ResourceType};
use lcow_protocol::settings::{CombinedLayers, MappedVirtualDisk, ScsiDevice, SecurityPolicy};
use lcow_protocol::{HResult, json};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;
use crate::{cgroup, storage};

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: ModifySettings,
) -> Result<Reply<Empty>, Failure> {
    let request = message.request;
    let resource = ResourceType::from_name(&request.resource_type)
        .ok_or_else(|| fail(format!("invalid ResourceType '{}'", request.resource_type)))?;
    let verb =
        RequestType::from_name(&request.request_type).ok_or_else(|| unsupported(&request.request_type))?;
    if base.container_id.is_null() {
        modify_vm(&agent, resource, verb, &request.settings).await?;
    } else {
        agent.containers.get(&base.container_id)?;
        return Err(fail(format!(
            "the ResourceType \"{}\" is not supported for containers",
            request.resource_type
        )));
    }
    Ok(Empty {}.into())
}

async fn modify_vm(
    agent: &Agent,
    resource: ResourceType,
    verb: RequestType,
    raw: &Value,
) -> Result<(), Failure> {
    use RequestType::{Add, Remove, Update};
    use ResourceType as R;
    match (resource, verb) {
        (R::MappedVirtualDisk, Add) => agent.storage.add_disk(settings(raw)?).await?,
        (R::MappedVirtualDisk, Remove) => {
            agent.storage.remove_disk(settings::<MappedVirtualDisk>(raw)?).await?;
        }
        (R::SCSIDevice, Remove) => {
            let ScsiDevice { controller, lun } = settings(raw)?;
            storage::unplug(storage::ScsiAddress { controller, lun }).await?;
        }
        (R::CombinedLayers, Add) => agent.storage.add_layers(settings(raw)?).await?,
        (R::CombinedLayers, Remove) => agent.storage.remove_layers(settings::<CombinedLayers>(raw)?).await?,
        (R::SecurityPolicy, _) => open_door(&settings(raw)?)?,
        (R::PodCgroupMemoryLimit, Update) => {
            cgroup::limit_pods(agent.options.memory_reserve)
                .map_err(|error| Failure::new(HResult::FAIL, &error))?;
        }
        _ => return Err(unsupported(verb.as_str())),
    }
    Ok(())
}

/// The settings of a resource; they must be there.
fn settings<T: DeserializeOwned>(raw: &Value) -> Result<T, Failure> {
    if raw.is_null() {
        return Err(Failure::text(HResult::INVALID_JSON, "the request has no Settings"));
    }
    Ok(json::decode("Settings", raw)?)
}

/// Without a policy engine only the policy that allows everything can be kept (spec section 6.10).
fn open_door(policy: &SecurityPolicy) -> Result<(), Failure> {
    let open = policy.encoded_security_policy.is_empty()
        && matches!(policy.enforcer_type.as_str(), "" | "open_door");
    if open {
        Ok(())
    } else {
        Err(fail("this agent has no policy engine and cannot enforce the policy".to_owned()))
    }
}

fn fail(text: String) -> Failure {
    Failure::text(HResult::FAIL, text)
}

fn unsupported(verb: &str) -> Failure {
    fail(format!("the RequestType \"{verb}\" is not supported"))
}
