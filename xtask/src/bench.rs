//! `cargo xtask bench`: builds what is measured and the program that measures.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::boot::{self, Kind};
use crate::build::{self, cargo};
use crate::process::run as run_quietly;
use crate::{places, setup};

/// Measure how fast and how large everything is.
///
/// Prints a table with medians and ratios to the reference agent's figures and to the targets, and adds the result to
/// `bench-history.jsonl` in the target directory. It asserts nothing: figures depend on the machine.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Also write the result to this file, as `{name: {median, min, max, n}, …}`
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measurements of each kind; some are taken more often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// Measures.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure(&setup::Args::default())?;
    let dist = build::run(&build::Args::default())?;
    boot::make(&dist, Kind::Product)?;
    boot::make(&dist, Kind::Debug)?;
    run_quietly(cargo().args(["build", "--release", "-p", "lcow-tests", "--bin", "bench"]))?;
    let mut bench = Command::new(places::target().join("release/bench"));
    bench.arg("--dist").arg(&dist).arg("--runs").arg(args.runs.to_string());
    bench.arg("--history").arg(places::target().join("bench-history.jsonl"));
    if let Some(path) = &args.json {
        bench.arg("--json").arg(absolute(path)?);
    }
    let status = bench.status().context("cannot run the bench program")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))
}
