//! `uvm-build check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use uvm_image::check::{self, Checked, Options};

use super::beside::or_beside;

/// Where Debian's package ovmf has firmware that is one file.
const FIRMWARE: &str = "/usr/share/ovmf/OVMF.fd";

/// Boot a directory of boot files in QEMU, in every way it offers, and report times, sizes and what is missing.
///
/// Status 1 when one of them does not boot, or the protocol cannot be negotiated.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The directory that `uvm-build` wrote
    dir: PathBuf,

    /// The lcow program, which runs the virtual machines [default: lcow beside uvm-build]
    #[arg(long, value_name = "FILE")]
    lcow: Option<PathBuf>,

    /// UEFI firmware in one file [default: /usr/share/ovmf/OVMF.fd, if it is there]
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,

    /// Seconds that one boot may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let lcow = or_beside(self.lcow, "lcow")?;
        let firmware =
            self.firmware.or_else(|| Path::new(FIRMWARE).is_file().then(|| PathBuf::from(FIRMWARE)));
        let timeout = Duration::from_secs(self.timeout);
        let checked = check::run(&Options { dir: self.dir, lcow, firmware, timeout })?;
        print(&checked);
        Ok(if checked.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(checked: &Checked) {
    for (name, bytes) in &checked.sizes {
        println!("{name:<28} {:>9}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000);
    }
    for line in &checked.kernel {
        println!("kernel: {line}");
    }
    println!(
        "{:<28} {:>8} {:>10} {:>11} {:>10}",
        "way (milliseconds)", "/init", "connected", "negotiated", "power off"
    );
    for tried in &checked.tried {
        match &tried.result {
            Ok(stages) => println!(
                "{:<28} {:>8} {:>10} {:>11} {:>10}",
                tried.way,
                stages.init.as_millis(),
                stages.connected.as_millis(),
                stages.negotiated.as_millis(),
                stages.power_off.as_millis(),
            ),
            Err(error) => println!("{:<28} FAILED: {error}", tried.way),
        }
    }
    for (way, reason) in &checked.skipped {
        println!("{way:<28} not tried: {reason}");
    }
}
