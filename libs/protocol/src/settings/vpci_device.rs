//! `VPCIDevice` (spec section 6.7).

use serde::{Deserialize, Serialize};

/// An assigned PCI device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VpciDevice {
    /// The VMBus device that carries it.
    #[serde(rename = "VMBusGUID", skip_serializing_if = "String::is_empty")]
    pub vmbus_guid: String,
}
