//! `NegotiateProtocol` (spec section 5.1): the first message on every connection.

use serde::{Deserialize, Serialize};

use super::{Request, SchemaVersion};
use crate::MessageType;

/// The only protocol version in use.
pub const PROTOCOL_VERSION: u32 = 4;

/// The range of versions that the host speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NegotiateProtocol {
    /// Lowest.
    pub minimum_version: u32,
    /// Highest.
    pub maximum_version: u32,
}

/// The version selected, and what the guest can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NegotiateProtocolResponse {
    /// Must be [`PROTOCOL_VERSION`].
    pub version: u32,
    /// What the guest can do.
    pub capabilities: GuestCapabilities,
}

/// Capabilities. The flags that would change the protocol (host-create, host-start, lifecycle notifications)
/// are never sent, so they are not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GuestCapabilities {
    /// Versions of the container document in `Create`.
    pub supported_schema_versions: Vec<SchemaVersion>,
    /// Absent would mean a Windows guest.
    pub runtime_os_type: RuntimeOs,
    /// Must be present, or the host fails to connect.
    pub guest_defined_capabilities: GuestDefinedCapabilities,
}

/// The guest's operating system, by the host's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuntimeOs {
    /// The only one that this project serves.
    #[default]
    Linux,
    /// A Windows guest.
    Windows,
}

impl Default for GuestCapabilities {
    fn default() -> Self {
        Self {
            supported_schema_versions: vec![SchemaVersion { major: 2, minor: 1 }],
            runtime_os_type: RuntimeOs::Linux,
            guest_defined_capabilities: GuestDefinedCapabilities::default(),
        }
    }
}

/// Which optional requests the host may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the protocol's own shape")]
pub struct GuestDefinedCapabilities {
    /// `Network` settings; without it the host configures no NIC at all.
    pub namespace_add_request_supported: bool,
    /// Signals other than kill.
    pub signal_process_supported: bool,
    /// `DumpStacks`.
    pub dump_stacks_supported: bool,
    /// `DeleteContainerState`.
    pub delete_container_state_supported: bool,
}

impl Default for GuestDefinedCapabilities {
    fn default() -> Self {
        Self {
            namespace_add_request_supported: true,
            signal_process_supported: true,
            dump_stacks_supported: true,
            delete_container_state_supported: true,
        }
    }
}

impl Request for NegotiateProtocol {
    const TYPE: MessageType = MessageType::NEGOTIATE_PROTOCOL;
    type Response = NegotiateProtocolResponse;
}
