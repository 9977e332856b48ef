//! `DumpStacks` (spec section 5.11): the agent's state as text for people.

use serde::{Deserialize, Serialize};

use super::Request;
use crate::MessageType;

/// Base fields only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DumpStacks {}

/// The text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DumpStacksResponse {
    /// Free text, well under the frame limit.
    pub guest_stacks: String,
}

impl Request for DumpStacks {
    const TYPE: MessageType = MessageType::DUMP_STACKS;
    type Response = DumpStacksResponse;
}
