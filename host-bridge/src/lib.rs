//! The host side of LCOW: utility VMs, the bridge client, layers, and the lcow command.

pub mod transport;
