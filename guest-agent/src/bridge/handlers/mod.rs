//! One file per message: decode (done by the dispatcher), do, encode.

pub(super) mod create;
pub(super) mod delete_container_state;
pub(super) mod dump_stacks;
pub(super) mod execute_process;
pub(super) mod get_properties;
pub(super) mod modify_settings;
pub(super) mod negotiate_protocol;
pub(super) mod resize_console;
pub(super) mod shutdown_forced;
pub(super) mod shutdown_graceful;
pub(super) mod signal_process;
pub(super) mod start;
pub(super) mod wait_for_process;

use std::rc::Rc;

use lcow_protocol::{ContainerId, HResult, ProcessId};

use super::Failure;
use crate::gcs::Agent;
use crate::process::Process;

/// The process that a request addresses: of the VM for the null id, else of a container.
fn find_process(agent: &Agent, container: &ContainerId, pid: ProcessId) -> Result<Rc<Process>, Failure> {
    let found = if container.is_null() {
        agent.vm_processes.get(pid)
    } else {
        agent.containers.get(container)?.process(pid)
    };
    found.ok_or_else(|| Failure::text(HResult::NOT_FOUND, format!("no process {pid}")))
}
