//! The client of the guest agent: the bridge, its log, processes and their stdio (guest protocol, sections 2 to 5).

mod bridge;
mod connect;
mod error;
mod log;
mod process;
#[cfg(all(test, target_os = "linux"))]
mod tests;

pub use bridge::{Guest, Notification};
pub use connect::{BootTimes, Stage};
pub(crate) use connect::{Doors, connect};
pub use error::GuestError;
pub use log::{LogLine, Logs};
pub use process::{Control, Output, Process, Stdio, VmProcess};
