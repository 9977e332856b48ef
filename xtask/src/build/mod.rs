//! `cargo xtask build`: the release binaries.

mod agent;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::places;
use crate::process;

/// Build the release binaries lcow, uvm-build and guest-agent (static) into target/dist.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {}

/// Builds everything into `target/dist` and returns that directory.
pub(crate) fn run(_args: &Args) -> Result<PathBuf> {
    let dist = places::dist();
    process::run(cargo().args(["build", "--release", "-p", "host-bridge", "-p", "uvm-image"]))
        .context("cannot build lcow and uvm-build")?;
    let agent = agent::build()?;
    fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    for (binary, name) in [
        (places::target().join("release/lcow"), "lcow"),
        (places::target().join("release/uvm-build"), "uvm-build"),
        (agent, "guest-agent"),
    ] {
        replace(&binary, &dist.join(name))?;
    }
    Ok(dist)
}

/// Cargo, in the workspace and with the target directory of this run.
pub(crate) fn cargo() -> std::process::Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = std::process::Command::new(program);
    cargo.current_dir(places::workspace()).env("CARGO_TARGET_DIR", places::target());
    cargo
}

/// Puts a copy of `from` at `to` in one step: the old file may be running. An equal file keeps its age, by which others
/// tell whether what they made of it is current.
fn replace(from: &Path, to: &Path) -> Result<()> {
    if fs::read(from).is_ok_and(|new| fs::read(to).is_ok_and(|old| old == new)) {
        return Ok(());
    }
    let copy = to.with_extension(format!("{}.tmp", std::process::id()));
    fs::copy(from, &copy)
        .and_then(|_| fs::rename(&copy, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
