//! The initrd: a cpio archive with the agent and the kernel's modules, compressed as the kernel can unpack it.

pub mod agent;
pub mod busybox;
pub mod cpio;
pub mod layout;
pub mod linked;
pub mod lz4_legacy;
pub mod packing;
pub mod tree;
