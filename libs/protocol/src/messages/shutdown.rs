//! `ShutdownGraceful` and `ShutdownForced` (spec section 5.8): SIGTERM or SIGKILL for a container's init; for the null id, power off.

use serde::{Deserialize, Serialize};

use super::{Empty, Request};
use crate::MessageType;

/// SIGTERM to the container's init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownGraceful {}

/// SIGKILL to the container's init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownForced {}

impl Request for ShutdownGraceful {
    const TYPE: MessageType = MessageType::SHUTDOWN_GRACEFUL;
    type Response = Empty;
}

impl Request for ShutdownForced {
    const TYPE: MessageType = MessageType::SHUTDOWN_FORCED;
    type Response = Empty;
}
