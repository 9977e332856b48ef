//! `GetProperties` (spec section 5.9).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Request;
use crate::json::Stringified;
use crate::{MessageType, ProcessId};

/// Asks for properties of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetProperties {
    /// Which properties, as a document in a string; the empty string asks for none.
    pub query: Stringified<PropertyQuery>,
}

impl Eq for Stringified<PropertyQuery> {}

/// Which properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PropertyQuery {
    /// By name; unknown names are ignored with a warning.
    pub property_types: Vec<String>,
}

/// The names that the agent knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyType {
    /// Every process of the container.
    ProcessList,
    /// Resource use.
    Statistics,
}

impl PropertyType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProcessList => "ProcessList",
            Self::Statistics => "Statistics",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ProcessList, Self::Statistics].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The answer: `{}` at least. A host drops the bridge over an empty string or a bare object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GetPropertiesResponse {
    /// As a document in a string.
    pub properties: Stringified<Properties>,
}

/// The properties asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Properties {
    /// Processes of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_list: Option<Vec<ProcessEntry>>,
    /// Resource use in containerd's cgroup metrics layout (spec section 11.2).
    #[serde(rename = "LCOWMetrics", skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Value>,
}

/// One process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ProcessEntry {
    /// In the utility VM's root pid namespace.
    pub process_id: ProcessId,
}

impl Request for GetProperties {
    const TYPE: MessageType = MessageType::GET_PROPERTIES;
    type Response = GetPropertiesResponse;
}
