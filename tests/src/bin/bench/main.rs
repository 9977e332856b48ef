//! `bench`: how fast and how large everything is. `cargo xtask bench` builds what it needs and runs it.
//!
//! It asserts nothing: figures depend on the machine. Each is given as median, least, greatest and count, and set
//! against the reference agent's and the target (ARCHITECTURE.md).
#![forbid(unsafe_code)]

mod boot;
mod boot_files;
mod containers;
mod disk;
mod host;
mod processes;
mod report;
mod series;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use host_bridge::uvm::BootPlan;
use lcow_tests::Lab;

use series::Results;

#[derive(Debug, Parser)]
struct Args {
    /// Directory with lcow, uvm-build, guest-agent, boot and boot-debug
    #[arg(long)]
    dist: PathBuf,
    /// Measurements of each kind
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only this part; may be given several times
    #[arg(long)]
    only: Vec<Part>,
    /// Writes the result here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Adds the result to this file, one line for each time
    #[arg(long)]
    history: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Layer disks and scratch disks.
    Disks,
    /// `uvm-build`.
    BootFiles,
    /// Utility VMs.
    Machines,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut results = Results::default();
    // First: it measures the memory of processes, and a utility VM would be the largest.
    if args.wants(Part::Disks) {
        eprintln!("bench: disks");
        disk::measure(&args.dist, args.runs, &mut results).context("disks")?;
    }
    if args.wants(Part::BootFiles) {
        eprintln!("bench: making boot files");
        boot_files::measure(&args.dist, args.runs, &mut results).context("making boot files")?;
    }
    if args.wants(Part::Machines) {
        virtual_machines(&args, &mut results)?;
    }
    report::print(&results);
    if let Some(path) = &args.json {
        report::write(&results, path)?;
    }
    if let Some(path) = &args.history {
        report::append(&results, path)?;
    }
    Ok(())
}

/// What needs boot files and utility VMs.
fn virtual_machines(args: &Args, results: &mut Results) -> Result<()> {
    let debug = BootPlan { boot_files: Some(args.dist.join("boot-debug")), ..BootPlan::default() };
    let product = BootPlan { boot_files: Some(args.dist.join("boot")), ..BootPlan::default() };
    let lab = Lab::with_plan(debug.clone())?;
    eprintln!("bench: sizes and layers");
    host::sizes(&args.dist, results);
    host::layers(args.runs, results).context("converting layers")?;
    eprintln!("bench: booting {} times", 2 * args.runs);
    lab.block_on(|| boot::measure(&product, &debug, args.runs, results)).context("booting")?;
    eprintln!("bench: processes");
    lab.block_on(|| processes::measure(&lab, args.runs, results)).context("processes")?;
    eprintln!("bench: containers");
    lab.block_on(|| containers::measure(&lab, args.runs, results)).context("containers")?;
    eprintln!("bench: lcow run");
    host::lcow_run(&args.dist, args.runs, results).context("lcow run")?;
    Ok(())
}
