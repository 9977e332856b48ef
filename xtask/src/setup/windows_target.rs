//! The Rust standard library for Windows, with which checks compile the host side.

use std::path::Path;

use crate::process::{command, output, run};

const TARGET: &str = "x86_64-pc-windows-gnu";

/// Whether the compiler has it.
pub(super) fn is_installed() -> bool {
    output(command("rustc").args(["--print", "target-libdir", "--target", TARGET]))
        .is_ok_and(|dir| Path::new(dir.trim()).is_dir())
}

/// Asks rustup for it. Without it only the Windows check cannot run, so a failure is said and not more.
pub(super) fn install() {
    if let Err(error) = run(command("rustup").args(["target", "add", TARGET])) {
        eprintln!(
            "setup: the Windows check will not run here, the Rust target {TARGET} is missing: {error:#}"
        );
    }
}
