//! `Create` (spec section 5.2): prepares a container and its init process without running it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Request;
use crate::MessageType;
use crate::json::Stringified;

/// Asks for a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Create {
    /// What to create, as a document in a string.
    pub container_config: Stringified<HostedSettings>,
}

/// A schema version of the container document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SchemaVersion {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The container document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HostedSettings {
    /// At least 2.1.
    pub schema_version: SchemaVersion,
    /// Directory in the utility VM for `config.json` and state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub oci_bundle_path: String,
    /// The OCI runtime specification, kept whole: unknown fields must survive.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub oci_specification: Value,
    /// Directory on the scratch disk that holds this container's upper and work directories; removed with the
    /// container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scratch_dir_path: String,
}

/// The answer. Hosts ignore both fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateResponse {
    /// Always zero.
    pub selected_protocol_version: u32,
}

impl Request for Create {
    const TYPE: MessageType = MessageType::CREATE;
    type Response = CreateResponse;
}
