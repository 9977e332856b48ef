//! `MappedVirtualDisk` (spec section 6.1).

use serde::{Deserialize, Serialize};

use crate::json::is_default;

/// A SCSI disk, or a partition of one, and where it is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own shape")]
pub struct MappedVirtualDisk {
    /// Mount point in the guest; empty attaches without mounting.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_path: String,
    /// LUN, 0 to 63.
    #[serde(skip_serializing_if = "is_default")]
    pub lun: u8,
    /// Controller index, 0 to 3.
    #[serde(skip_serializing_if = "is_default")]
    pub controller: u8,
    /// Partition number from 1; 0 is the whole disk.
    #[serde(skip_serializing_if = "is_default")]
    pub partition: u64,
    /// Mount read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Put dm-crypt under the file system.
    #[serde(skip_serializing_if = "is_default")]
    pub encrypted: bool,
    /// Only propagation words have an effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Link the block device to the mount path instead of mounting it.
    #[serde(skip_serializing_if = "is_default")]
    pub block_dev: bool,
    /// Format when there is no file system of the wanted type.
    #[serde(skip_serializing_if = "is_default")]
    pub ensure_filesystem: bool,
    /// The file system's type; empty detects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filesystem: String,
}
