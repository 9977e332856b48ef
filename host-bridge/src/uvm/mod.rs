//! One utility VM: its boot files, its boot plan, and its life.

pub mod boot_files;
pub mod command_line;
mod machine;
pub mod plan;

pub use boot_files::{BootFiles, BootFilesError};
pub use machine::{BootError, CONNECT_TIMEOUT, Uvm};
pub use plan::{BootPlan, PlanError, Root};
