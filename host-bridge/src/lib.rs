//! The host side of LCOW: utility VMs, the bridge client, layers, and the lcow command.
#![forbid(unsafe_code)]
