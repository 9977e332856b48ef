//! Programs that lie beside this one.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// `given`, else the program `name` in the directory of `uvm-build`.
pub(super) fn or_beside(given: Option<PathBuf>, name: &str) -> Result<PathBuf> {
    match given {
        Some(path) => Ok(path),
        None => Ok(env::current_exe().context("cannot find out where uvm-build is")?.with_file_name(name)),
    }
}
