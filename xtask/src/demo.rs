//! `cargo xtask demo`: from a clean clone to a container's first words.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::boot::{self, Kind};
use crate::build::{self, cargo};
use crate::process::run as run_quietly;
use crate::{places, setup};

/// What the container says.
const GREETING: [&str; 7] = ["echo", "hello", "from", "a", "Linux", "utility", "VM"];

/// Run a container in a utility VM, from nothing: set up, build, make boot files and an image, load it, run it.
///
/// The last line on stdout is the container's own; everything else goes to stderr. The exit status is the container's.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {}

/// Does all of it and returns the container's status.
pub(crate) fn run(_args: &Args) -> Result<ExitCode> {
    step(1, "setting this machine up");
    setup::ensure(&setup::Args::default()).context("step 1, setting this machine up, failed")?;
    step(2, "building lcow, uvm-build and the guest agent");
    let dist = build::run(&build::Args::default()).context("step 2, building, failed")?;
    step(3, "making boot files");
    boot::make(&dist, Kind::Product).context("step 3, making boot files, failed")?;
    step(4, "making and loading the image busybox");
    let home = places::target().join("demo-home");
    load(&dist, &home).context("step 4, making and loading the image, failed")?;
    step(5, "running a container in its own utility VM");
    let code = lcow(&dist, &home, &["run", "--rm", "busybox"])
        .args(GREETING)
        .status()
        .context("cannot run lcow")?
        .code();
    let Some(code) = code.and_then(|code| u8::try_from(code).ok()) else {
        bail!("lcow was killed by a signal")
    };
    match code {
        0 => eprintln!("demo: done; {} run --help says what else it can do", dist.join("lcow").display()),
        125 => eprintln!(
            "demo: step 5 failed in lcow itself, see above; `cargo xtask test processes::` tells more"
        ),
        _ => eprintln!("demo: the container ended with status {code}"),
    }
    Ok(ExitCode::from(code))
}

fn step(number: u32, what: &str) {
    eprintln!("demo: {number}/5 {what}");
}

/// Makes the image in a directory of its own and loads it into the store of `home`.
fn load(dist: &Path, home: &Path) -> Result<()> {
    run_quietly(cargo().args(["build", "--release", "-p", "lcow-tests", "--bin", "busybox-image"]))?;
    let layout = places::target().join("demo-busybox");
    match fs::remove_dir_all(&layout) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", layout.display()));
        }
        _ => {}
    }
    run_quietly(Command::new(places::target().join("release/busybox-image")).arg(&layout))?;
    run_quietly(lcow(dist, home, &["load"]).arg(&layout))
}

/// `lcow` with a store in the target directory and the boot files beside it.
fn lcow(dist: &Path, home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(dist.join("lcow"));
    command.args(args).env("LCOW_HOME", home).env_remove("LCOW_BOOT_FILES");
    command
}
