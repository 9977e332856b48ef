//! `cargo xtask build`: the release binaries.

mod agent;
mod linked;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::places;
use crate::process;

/// Build the release binaries lcow, uvm-build and guest-agent (static) into target/dist, and beside the agent the list of
/// what is linked into it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {}

/// Builds everything into `target/dist` and returns that directory.
pub(crate) fn run(_args: &Args) -> Result<PathBuf> {
    let dist = places::dist();
    release(&["lcow", "uvm-build"])?;
    let agent = agent::build()?;
    let linked = linked::write(&agent, "guest-agent", agent::TARGET)?;
    fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    for (binary, name) in [
        (places::target().join("release/lcow"), "lcow"),
        (places::target().join("release/uvm-build"), "uvm-build"),
        (agent, "guest-agent"),
        (linked, "guest-agent.linked.json"),
    ] {
        replace(&binary, &dist.join(name))?;
    }
    Ok(dist)
}

/// Builds release programs of the host side and of the tests into `target/release`. Always of the same packages, whatever
/// is asked for: cargo chooses features by the packages, and with other features it would build dependencies again.
pub(crate) fn release(programs: &[&str]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "-p", "host-bridge", "-p", "uvm-image", "-p", "lcow-tests"]);
    for program in programs {
        build.args(["--bin", program]);
    }
    process::run(&mut build).with_context(|| format!("cannot build {}", programs.join(" and ")))
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
