//! `VPMemDevice` (spec section 6.4): layers on persistent memory.

use serde::{Deserialize, Serialize};

use crate::json::is_default;

/// A layer on `/dev/pmem<N>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VpmemDevice {
    /// N.
    #[serde(skip_serializing_if = "is_default")]
    pub device_number: u32,
    /// Mount point in the guest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_path: String,
    /// The part of the device that carries the layer; absent means all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_info: Option<MappingInfo>,
}

/// A part of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MappingInfo {
    /// Bytes from the start of the device.
    pub device_offset_in_bytes: u64,
    /// Bytes, page aligned.
    pub device_size_in_bytes: u64,
}
