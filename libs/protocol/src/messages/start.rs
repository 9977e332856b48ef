//! `Start` (spec section 5.3): a no-op that always succeeds; the first `ExecuteProcess` starts the container.

use serde::{Deserialize, Serialize};

use super::{Empty, Request};
use crate::MessageType;

/// Base fields only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {}

impl Request for Start {
    const TYPE: MessageType = MessageType::START;
    type Response = Empty;
}
