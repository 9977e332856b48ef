//! `DeleteContainerState` (spec section 5.12): removes everything that the guest holds for a container.

use serde::{Deserialize, Serialize};

use super::{Empty, Request};
use crate::MessageType;

/// Base fields only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteContainerState {}

impl Request for DeleteContainerState {
    const TYPE: MessageType = MessageType::DELETE_CONTAINER_STATE;
    type Response = Empty;
}
