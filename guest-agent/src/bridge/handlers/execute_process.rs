//! `ExecuteProcess` (spec section 5.4): its three forms.

use std::rc::Rc;

use lcow_protocol::HResult;
use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{ExecuteProcess, ExecuteProcessResponse};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;
use crate::{container, process, storage};

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: ExecuteProcess,
) -> Result<Reply<ExecuteProcessResponse>, Failure> {
    let parameters = message.settings.process_parameters.0;
    let ports = message.settings.vsock_stdio_relay_settings;
    let process_id = if base.container_id.is_null() || parameters.create_in_utility_vm {
        // Such a process may look at disks itself.
        storage::machine_prepared().await;
        // It begins in the agent's own.
        agent.cgroups().map_err(|error| Failure::new(HResult::FAIL, &error))?;
        let streams = process::dial(&parameters, ports).await?;
        agent.vm_processes.start(&agent.runtime, parameters, streams).await?
    } else {
        let container = agent.containers.get(&base.container_id)?;
        if parameters.oci_process.is_some() {
            container::exec(&agent, &container, parameters, ports).await?
        } else {
            container::start(&agent, &container, &parameters, ports).await?
        }
    };
    Ok(ExecuteProcessResponse { process_id }.into())
}
