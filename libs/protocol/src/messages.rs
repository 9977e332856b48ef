//! The messages, one module each (spec section 5).

mod container_notification;
mod create;
mod delete_container_state;
mod dump_stacks;
mod execute_process;
mod get_properties;
mod modify_settings;
mod negotiate_protocol;
mod resize_console;
mod shutdown;
mod signal_process;
mod start;
mod wait_for_process;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use container_notification::{ContainerNotification, ExitType, Operation};
pub use create::{Create, CreateResponse, HostedSettings, SchemaVersion};
pub use delete_container_state::DeleteContainerState;
pub use dump_stacks::{DumpStacks, DumpStacksResponse};
pub use execute_process::{
    ExecuteProcess, ExecuteProcessResponse, ExecuteProcessSettings, ProcessParameters, StdioPorts,
};
pub use get_properties::{
    GetProperties, GetPropertiesResponse, ProcessEntry, Properties, PropertyQuery, PropertyType,
};
pub use modify_settings::{ModifyRequest, ModifySettings, RequestType, ResourceType};
pub use negotiate_protocol::{
    GuestCapabilities, GuestDefinedCapabilities, NegotiateProtocol, NegotiateProtocolResponse,
    PROTOCOL_VERSION, RuntimeOs,
};
pub use resize_console::ResizeConsole;
pub use shutdown::{ShutdownForced, ShutdownGraceful};
pub use signal_process::{SignalOptions, SignalProcess};
pub use start::Start;
pub use wait_for_process::{INFINITE, WaitForProcess, WaitForProcessResponse};

use crate::MessageType;

/// A request's own fields, tied to its type on the wire and to what its answer carries.
pub trait Request: Serialize + DeserializeOwned + Send {
    /// The type in the frame's header.
    const TYPE: MessageType;
    /// The payload of a successful answer.
    type Response: Serialize + DeserializeOwned + Send;
}

/// The payload of answers that carry nothing but the common fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Empty {}
