//! The host side of LCOW: utility VMs, the bridge client, layers, and the lcow command.

#[cfg(target_os = "linux")]
mod sys;
pub mod transport;
pub mod vmm;
