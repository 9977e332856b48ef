//! `SignalProcess` (spec section 5.6).

use serde::{Deserialize, Serialize};

use super::{Empty, Request};
use crate::MessageType;

use crate::ProcessId;
use crate::json::is_default;

/// A signal for one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SignalProcess {
    /// Which process.
    pub process_id: ProcessId,
    /// Which signal; absent means SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<SignalOptions>,
}

/// The signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SignalOptions {
    /// Linux signal number; zero or absent means SIGKILL.
    #[serde(skip_serializing_if = "is_default")]
    pub signal: i32,
}

impl SignalProcess {
    /// The signal that is meant.
    pub fn signal(&self) -> i32 {
        const SIGKILL: i32 = 9;
        self.options.map(|options| options.signal).filter(|signal| *signal != 0).unwrap_or(SIGKILL)
    }
}

impl Request for SignalProcess {
    const TYPE: MessageType = MessageType::SIGNAL_PROCESS;
    type Response = Empty;
}
