//! `ContainerNotification` (spec section 5.14): tells the host, exactly once, that a container is gone.

use serde::{Deserialize, Serialize};

use crate::HResult;

/// The notification's own fields. `ResultInfo` exists in the protocol and is never sent: hosts drop the bridge
/// over an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerNotification {
    /// How init ended.
    #[serde(rename = "Type")]
    pub exit_type: ExitType,
    /// Always `None`.
    pub operation: Operation,
    /// Always zero.
    pub result: HResult,
}

/// How a container's init ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitType {
    /// By itself, or by a signal that was not ours.
    #[default]
    UnexpectedExit,
    /// After the agent sent it a SIGTERM.
    GracefulExit,
    /// After the agent sent it a SIGKILL.
    ForcedExit,
}

/// The operation that a notification belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// None, as always.
    #[default]
    None,
}
