//! Processes as the host sees them: stdio relays, exit statuses, terminals.

mod again;
mod ending;
mod output;
mod phase;
mod pty;
mod stdio;
mod table;
mod tee;
mod vm;

pub(crate) use output::Extras;
pub(crate) use phase::{Asked, Phase};
pub(crate) use pty::{ConsoleSocket, Pty};
pub(crate) use stdio::{Relays, StdioPipes, Wanted, dial};
pub(crate) use table::Process;
pub(crate) use tee::Tee;
pub(crate) use vm::{Error as VmProcessError, VmProcesses};
