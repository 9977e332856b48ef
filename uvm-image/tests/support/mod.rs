//! What the tests of the command share.

use std::path::Path;
use std::process::{Command, Stdio};

/// `uvm-build` in `dir`, with the directory `kept` there as its cache and nothing of the user's settings.
pub(crate) fn uvm_build(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uvm-build"));
    command.current_dir(dir).stdin(Stdio::null()).env("LCOW_CACHE", dir.join("kept"));
    for name in ["LINUXKIT_CACHE", "LINUXKIT_MIRROR", "SOURCE_DATE_EPOCH"] {
        command.env_remove(name);
    }
    command
}
