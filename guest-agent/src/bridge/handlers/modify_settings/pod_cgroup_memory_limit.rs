//! `PodCgroupMemoryLimit` (spec section 6.9): the VM's memory has changed.

use lcow_protocol::HResult;

use crate::bridge::Failure;
use crate::gcs::Agent;

pub(super) fn update(agent: &Agent) -> Result<(), Failure> {
    agent
        .cgroups()
        .and_then(|cgroups| cgroups.limit_pods(agent.options.memory_reserve))
        .map_err(|error| Failure::new(HResult::FAIL, &error))
}
