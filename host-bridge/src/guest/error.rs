//! What can go wrong between us and a guest agent.

use std::io;

use lcow_protocol::frame::FrameError;
use lcow_protocol::json::DecodeError;
use lcow_protocol::{HResult, MessageType};

use crate::transport::TransportError;

/// Why the guest did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// It answered with an error.
    #[error("{message}: the guest says: {}", if text.is_empty() { result.to_string() } else { text.clone() })]
    Refused {
        /// The request.
        message: MessageType,
        /// The guest's code.
        result: HResult,
        /// The guest's words.
        text: String,
    },
    /// The bridge was lost before the answer.
    #[error("{message}: the bridge to the guest was lost")]
    Lost {
        /// The request.
        message: MessageType,
    },
    /// No answer in time. The bridge lives on; a late answer is ignored.
    #[error("{message}: no answer from the guest in {seconds} s")]
    Timeout {
        /// The request.
        message: MessageType,
        /// How long we waited.
        seconds: u64,
    },
    /// The guest sent what is no frame; the connection was dropped.
    #[error("the guest sent a bad frame: {0}")]
    Frame(#[from] FrameError),
    /// The guest sent what is no message; the connection was dropped.
    #[error("the guest sent a bad message: {0}")]
    Message(String),
    /// An answer does not have the shape of its message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A request cannot be written as JSON.
    #[error("cannot encode a request")]
    Encode(#[source] serde_json::Error),
    /// The guest speaks another protocol.
    #[error("the guest agreed to protocol version {version} for {os}, not 4 for Linux")]
    Protocol {
        /// Its version.
        version: u32,
        /// Its system.
        os: String,
    },
    /// A port could not be listened on.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A stream failed.
    #[error("cannot {operation}")]
    Stream {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}
