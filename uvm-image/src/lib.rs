//! uvm-build: boot files for utility VMs.
#![forbid(unsafe_code)]
