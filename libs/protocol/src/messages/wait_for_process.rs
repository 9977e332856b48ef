//! `WaitForProcess` (spec section 5.5): answered when the process has exited and its output has drained.

use serde::{Deserialize, Serialize};

use super::Request;
use crate::{MessageType, ProcessId};

/// `TimeoutInMs` that never expires.
pub const INFINITE: u32 = u32::MAX;

/// Waits for a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitForProcess {
    /// Which process.
    pub process_id: ProcessId,
    /// Milliseconds, or [`INFINITE`].
    pub timeout_in_ms: u32,
}

/// How the process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitForProcessResponse {
    /// Its exit status; 128 plus the signal's number if a signal ended it.
    pub exit_code: u32,
}

impl Request for WaitForProcess {
    const TYPE: MessageType = MessageType::WAIT_FOR_PROCESS;
    type Response = WaitForProcessResponse;
}
