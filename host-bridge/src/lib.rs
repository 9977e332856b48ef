//! The host side of LCOW: utility VMs, the bridge client, layers, and the lcow command.

pub mod cli;
pub mod containers;
pub mod guest;
pub mod home;
pub mod layers;
mod lock;
#[cfg(target_os = "linux")]
mod sys;
pub mod transport;
pub mod uvm;
pub mod vmm;
