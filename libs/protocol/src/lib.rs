//! The bridge contract between an LCOW host and the guest agent in its utility VM.
//!
//! Pure data and codec: frames ([`frame`]), message types ([`MessageType`]), the envelope that every message
//! shares ([`envelope`]), one module per message ([`messages`]) and per `ModifySettings` resource
//! ([`settings`]), and the error codes the host acts on ([`HResult`]). There is no I/O here and no policy, so
//! the agent, the host and the tests can all use it on every operating system.
//!
//! Source of every name and number: the guest protocol specification, sections 2 to 6 and 16.
#![forbid(unsafe_code)]

pub mod boot;
pub mod envelope;
pub mod frame;
mod hresult;
mod ids;
pub mod json;
mod message_type;
pub mod messages;
pub mod ports;
pub mod settings;
pub mod strict_host;

pub use hresult::HResult;
pub use ids::{ActivityId, ContainerId, InvalidContainerId, ProcessId, VsockPort};
pub use message_type::{Kind, MessageType};
