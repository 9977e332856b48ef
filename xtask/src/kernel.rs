//! `cargo xtask kernel`: the tailored kernel.

use std::path::Path;

use anyhow::{Context, Result};

use crate::process::{command, run as run_quietly};
use crate::{build, setup};

/// Build the tailored kernel, once: 10 to 20 minutes on two processors; afterwards it comes from the cache.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Build the newest source on offer, although nobody has tried it
    #[arg(long)]
    allow_new: bool,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(&setup::Args::default())?;
    let dist = build::run(&build::Args::default())?;
    ensure(&dist.join("uvm-build"), args.allow_new)
}

/// Sees to it that the tailored kernel is in the cache, with the `uvm-build` at `program`.
pub(crate) fn ensure(program: &Path, allow_new: bool) -> Result<()> {
    setup::kernel_source(allow_new)?;
    let mut build = command(&program.to_string_lossy());
    build.args(["kernel", "build"]);
    if allow_new {
        build.arg("--allow-new");
    }
    eprintln!("kernel: building the tailored kernel, if it is not in the cache (10 to 20 minutes)");
    run_quietly(&mut build).context("cannot build the tailored kernel")
}
