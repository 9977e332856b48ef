//! `MappedDirectory` (spec section 6.3): a 9P share over vsock.

use serde::{Deserialize, Serialize};

use crate::json::is_default;

/// A host directory and where it is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MappedDirectory {
    /// Mount point in the guest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_path: String,
    /// Host port of the 9P server.
    #[serde(skip_serializing_if = "is_default")]
    pub port: i32,
    /// The share's name on that server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub share_name: String,
    /// Mount read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
}
