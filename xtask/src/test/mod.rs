//! `cargo xtask test`: all tests, those on real utility VMs included, and one line that sums them up.
//!
//! A test that cannot do its work here, because a tool is missing or it may not mount, prints a line
//! `skipped: the reason` on standard output and returns. It then counts as skipped, as an ignored test does.

mod tally;

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::boot::{self, Kind};
use crate::{build, kernel, setup};
use tally::{Tally, Tests};

/// The package of the suites that boot utility VMs.
const VM_TESTS: &str = "lcow-tests";

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                 everything
  cargo xtask test containers::    the tests with `containers::` in their names
  cargo xtask test --no-vm         what needs no utility VM

The last line is `N passed, N failed, N skipped`.";

/// Run all tests, real utility VMs included.
///
/// Sets the machine up, builds the release binaries and boot files with `BusyBox` in them, and runs every test program
/// of the workspace and its documentation's examples.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only tests with this text in their names
    filter: Option<String>,
    /// Leave out the suites that boot utility VMs
    #[arg(long)]
    no_vm: bool,
}

/// Runs the tests; the status is a failure when one failed or a test program did not finish.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure(&setup::Args::default())?;
    let mut cargo = build::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    if args.no_vm {
        cargo.args(["--exclude", VM_TESTS]);
    } else {
        let dist = build::run(&build::Args::default())?;
        if let Err(error) = kernel::ensure(&dist.join("uvm-build"), false) {
            eprintln!("test: going on with Debian's kernel: {error:#}");
        }
        let boot = boot::make(&dist, Kind::Debug)?;
        cargo.env("LCOW_TEST_BIN", &dist).env("LCOW_TEST_BOOT", &boot);
    }
    cargo.arg("--").arg("--show-output").args(&args.filter);
    // The user's own choice of how to link the agent's libraries must not decide whether tests are built again.
    cargo.env_remove("LIBSECCOMP_LINK_TYPE").env_remove("LIBSECCOMP_LIB_PATH");
    let (tests, status) = follow(&mut cargo)?;
    let tests = if status.success() { tests } else { tests.with_unfinished_program() };
    println!("{tests}");
    Ok(if tests.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the tests, passing on what they print, and counts them.
fn follow(cargo: &mut Command) -> Result<(Tests, ExitStatus)> {
    let program = Path::new(cargo.get_program()).display().to_string();
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).context("cannot read the tests' output")? > 0 {
            if let Some(shown) = tally.line(&String::from_utf8_lossy(&line)) {
                // When nobody reads any more, the status still tells how it went.
                let _ = io::stdout().write_all(shown.as_bytes());
            }
            line.clear();
        }
    }
    let status = child.wait().context("cannot wait for the tests")?;
    Ok((tally.tests(), status))
}
