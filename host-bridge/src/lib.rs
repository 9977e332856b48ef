//! The host side of LCOW: utility VMs, the bridge client, layers, and the lcow command.

pub mod cli;
pub mod guest;
#[cfg(target_os = "linux")]
mod sys;
pub mod transport;
pub mod uvm;
pub mod vmm;
