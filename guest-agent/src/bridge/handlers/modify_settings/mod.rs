//! `ModifySettings` (spec section 6): one file per setting, and the table of which request each one takes.

mod combined_layers;
mod container_constraints;
mod mapped_directory;
mod mapped_virtual_disk;
mod network;
mod pod_cgroup_memory_limit;
mod scsi_device;
mod security_policy;
mod security_policy_fragment;
mod vpci_device;
mod vpmem_device;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::RequestType::{Add, Remove, Update};
use lcow_protocol::messages::{Empty, ModifySettings, RequestType, ResourceType};
use lcow_protocol::{HResult, json};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;

type Change = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// Decodes the settings of a resource, which must be there, and runs its handler.
fn with_settings<S, F>(
    agent: Rc<Agent>,
    raw: Value,
    handler: impl FnOnce(Rc<Agent>, S) -> F + 'static,
) -> Change
where
    S: DeserializeOwned + 'static,
    F: Future<Output = Result<(), Failure>> + 'static,
{
    Box::pin(async move {
        if raw.is_null() {
            return Err(Failure::text(HResult::INVALID_JSON, "the request has no Settings"));
        }
        let settings = json::decode("Settings", &raw)?;
        drop(raw);
        handler(agent, settings).await
    })
}

macro_rules! table {
    ($($resource:ident: $verb:pat => $module:ident::$handler:ident;)*) => {
        /// Starts the change of a resource of the VM; `None` if the resource does not take such a request.
        fn change(agent: Rc<Agent>, resource: ResourceType, verb: RequestType, raw: Value) -> Option<Change> {
            match (resource, verb) {
                $((ResourceType::$resource, $verb) => Some(with_settings(agent, raw, $module::$handler)),)*
                // The only one without settings.
                (ResourceType::PodCgroupMemoryLimit, Update) => {
                    Some(Box::pin(async move { pod_cgroup_memory_limit::update(&agent) }))
                }
                _ => None,
            }
        }
    };
}

// Handlers take the agent and their decoded settings.
table! {
    MappedVirtualDisk: Add => mapped_virtual_disk::add;
    MappedVirtualDisk: Remove => mapped_virtual_disk::remove;
    SCSIDevice: Remove => scsi_device::remove;
    MappedDirectory: Add => mapped_directory::add;
    MappedDirectory: Remove => mapped_directory::remove;
    VPMemDevice: Add => vpmem_device::add;
    VPMemDevice: Remove => vpmem_device::remove;
    CombinedLayers: Add => combined_layers::add;
    CombinedLayers: Remove => combined_layers::remove;
    Network: Add => network::add;
    Network: Remove => network::remove;
    VPCIDevice: Add => vpci_device::add;
    SecurityPolicy: Add | Remove | Update => security_policy::set;
    SecurityPolicyFragment: Add | Remove | Update => security_policy_fragment::inject;
}

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: ModifySettings,
) -> Result<Reply<Empty>, Failure> {
    let request = message.request;
    let resource = ResourceType::from_name(&request.resource_type)
        .ok_or_else(|| fail(format!("invalid ResourceType '{}'", request.resource_type)))?;
    let unsupported = || fail(format!("the RequestType \"{}\" is not supported", request.request_type));
    // Limits are a container's, and the VM is none.
    if !base.container_id.is_null() || resource == ResourceType::ContainerConstraints {
        let container = agent.containers.get(&base.container_id)?;
        if resource == ResourceType::ContainerConstraints {
            if request.settings.is_null() {
                return Err(Failure::text(HResult::INVALID_JSON, "the request has no Settings"));
            }
            container_constraints::update(&container, &request.settings)?;
            return Ok(Empty {}.into());
        }
        let resource = resource.as_str();
        return Err(fail(format!("the ResourceType \"{resource}\" is not supported for containers")));
    }
    let any = matches!(resource, ResourceType::SecurityPolicy | ResourceType::SecurityPolicyFragment);
    let verb = RequestType::from_name(&request.request_type).or(any.then_some(Update));
    let verb = verb.ok_or_else(unsupported)?;
    change(agent, resource, verb, request.settings).ok_or_else(unsupported)?.await?;
    Ok(Empty {}.into())
}

fn fail(text: impl Into<String>) -> Failure {
    Failure::text(HResult::FAIL, text)
}
