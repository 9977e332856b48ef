//! `ContainerConstraints` (spec section 6.8).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// New limits for a running container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConstraints {
    /// Always sent, never used.
    pub windows: Value,
    /// An OCI `linux.resources` object, kept whole.
    pub linux: Value,
}
