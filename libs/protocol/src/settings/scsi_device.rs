//! `SCSIDevice` (spec section 6.2).

use serde::{Deserialize, Serialize};

use crate::json::is_default;

/// The device to unplug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ScsiDevice {
    /// Controller index, 0 to 3.
    #[serde(skip_serializing_if = "is_default")]
    pub controller: u8,
    /// LUN, 0 to 63.
    #[serde(skip_serializing_if = "is_default")]
    pub lun: u8,
}
