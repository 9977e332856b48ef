//! Processes as the host sees them: stdio relays, exit statuses, terminals.

mod output;
mod pty;
mod stdio;
mod table;
mod vm;

pub(crate) use output::{Extras, Phase};
pub(crate) use pty::{ConsoleSocket, Pty};
pub(crate) use stdio::{Relays, StdioPipes, Wanted, dial};
pub(crate) use table::Process;
pub(crate) use vm::{Error as VmProcessError, VmProcesses};
