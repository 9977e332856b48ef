//! uvm-build: boot files for utility VMs.
//!
//! A utility VM boots from a kernel and an initrd that holds one program, the guest agent. This crate makes both from
//! a distribution's kernel package (or a directory with a kernel) and the agent's binary, on any operating system:
//! packages are unpacked, modules selected and archives written in process, nothing is mounted and no tool is run.
//!
//! The way through: [`kernel`] reads a package, [`modules`] chooses what the VM needs of it, [`selection`] is that choice
//! (and is what [`cache`] keeps), [`initrd`] packs it with the agent, [`outputs`] puts the files in place and
//! [`build`] ties these together. [`linuxkit`] comes to the same outputs from descriptions.
#![forbid(unsafe_code)]

pub mod build;
pub mod cache;
pub mod check;
pub mod compression;
pub mod deb;
pub mod debian_version;
pub mod efi;
pub mod elf;
pub mod formats;
mod hex;
pub mod initrd;
pub mod inspect;
pub mod install;
pub mod interrupt;
pub mod kernel;
pub mod linuxkit;
pub mod modules;
pub mod newc;
pub mod outputs;
pub mod progress;
pub mod report;
pub mod sbom;
pub mod selection;
pub mod sums;
pub mod versions;

#[cfg(test)]
mod testing;
