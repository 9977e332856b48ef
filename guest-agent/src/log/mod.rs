//! The agent's log: one line per event on stderr, which is the host's log port (spec section 13).

mod json;
mod kernel;

pub(crate) use json::{Format, Log};
pub(crate) use kernel::KernelMessage;
