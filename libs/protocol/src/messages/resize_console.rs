//! `ResizeConsole` (spec section 5.7).

use serde::{Deserialize, Serialize};

use super::{Empty, Request};
use crate::MessageType;

use crate::ProcessId;

/// A new size for a process's terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ResizeConsole {
    /// Whose terminal.
    pub process_id: ProcessId,
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

impl Request for ResizeConsole {
    const TYPE: MessageType = MessageType::RESIZE_CONSOLE;
    type Response = Empty;
}
