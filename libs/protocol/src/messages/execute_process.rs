//! `ExecuteProcess` (spec section 5.4): a process in the utility VM, a container's init, or an exec.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Request;
use crate::json::{Stringified, is_default};
use crate::{MessageType, ProcessId, VsockPort};

/// Starts a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecuteProcess {
    /// All there is to it.
    pub settings: ExecuteProcessSettings,
}

/// The parameters and the ports of the process's stdio.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecuteProcessSettings {
    /// What to run, as a document in a string.
    pub process_parameters: Stringified<ProcessParameters>,
    /// Where the host listens for the process's stdio.
    pub vsock_stdio_relay_settings: StdioPorts,
}

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own shape")]
pub struct ProcessParameters {
    /// VM-level process, only if `command_args` is empty: split like a shell does, nothing expanded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command_line: String,
    /// VM-level process: its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command_args: Vec<String>,
    /// VM-level process: its directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_directory: String,
    /// VM-level process: its whole environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// VM-level process: wants a terminal.
    #[serde(skip_serializing_if = "is_default")]
    pub emulate_console: bool,
    /// Dial the stdin port.
    #[serde(skip_serializing_if = "is_default")]
    pub create_std_in_pipe: bool,
    /// Dial the stdout port.
    #[serde(skip_serializing_if = "is_default")]
    pub create_std_out_pipe: bool,
    /// Dial the stderr port.
    #[serde(skip_serializing_if = "is_default")]
    pub create_std_err_pipe: bool,
    /// Run at VM level although a container is addressed.
    #[serde(rename = "CreateInUtilityVM", skip_serializing_if = "is_default")]
    pub create_in_utility_vm: bool,
    /// Rows and columns of the terminal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub console_size: Vec<u16>,
    /// Exec in a running container: the OCI `process` object, kept whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci_process: Option<Value>,
}

/// The host's stdio ports; zero or absent where a stream is not wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StdioPorts {
    /// Host to guest.
    #[serde(rename = "StdIn", skip_serializing_if = "is_default")]
    pub stdin: VsockPort,
    /// Guest to host.
    #[serde(rename = "StdOut", skip_serializing_if = "is_default")]
    pub stdout: VsockPort,
    /// Guest to host.
    #[serde(rename = "StdErr", skip_serializing_if = "is_default")]
    pub stderr: VsockPort,
}

/// The process that was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecuteProcessResponse {
    /// In the utility VM's root pid namespace.
    pub process_id: ProcessId,
}

impl Request for ExecuteProcess {
    const TYPE: MessageType = MessageType::EXECUTE_PROCESS;
    type Response = ExecuteProcessResponse;
}
