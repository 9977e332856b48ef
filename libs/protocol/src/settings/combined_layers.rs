//! `CombinedLayers` (spec section 6.5): the overlay that is a container's root.

use serde::{Deserialize, Serialize};

/// Layers and scratch, and where their union is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CombinedLayers {
    /// Whose root it is.
    #[serde(rename = "ContainerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// Mount point of the union.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_root_path: String,
    /// Read-only layers, top-most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// Directory for the upper and work directories; empty makes the union read-only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scratch_path: String,
}

/// One mounted layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Layer {
    /// The layer's name on the host; not used by the guest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Where it is mounted in the guest.
    pub path: String,
}
