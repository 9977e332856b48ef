//! The agent's log: one line per event on stderr, which is the host's log port (spec section 13).

mod json;
mod kernel;
mod kmsg;
mod rate;
mod scrub;
mod writer;

pub(crate) use json::{Format, Log, fatal_line};
pub(crate) use kernel::KernelMessage;
pub(crate) use kmsg::forward as forward_kernel_messages;
pub(crate) use rate::{Admission, RateLimit};
pub(crate) use scrub::scrub;
pub(crate) use writer::Writer;
