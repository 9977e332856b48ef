//! One utility VM: its boot files, its boot plan, and its life.

pub mod boot_files;
pub mod command_line;
pub mod plan;

pub use boot_files::{BootFiles, BootFilesError};
pub use plan::{BootPlan, Root};
