//! `uvm-build check`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use uvm_image::check::{self, Checked, Options};
use uvm_image::interrupt::Unfinished;
use uvm_image::sums::Fault;

use super::beside::or_beside;
use super::output::say;

/// Where Debian's package ovmf has firmware that is one file.
const FIRMWARE: &str = "/usr/share/ovmf/OVMF.fd";

/// Compare boot files with SHA256SUMS, boot each of them in QEMU, and report times, sizes and what is missing.
///
/// Each of vmlinux, kernel, bootx64.efi (by UEFI firmware), unified.efi and uvm.vhdx boots by itself; rootfs.vhd boots in every
/// way that stock hosts use. What is not tried is listed with the reason. Status 1 when a file is not what was built, does not
/// boot, or the protocol cannot be negotiated.
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
    pub(crate) fn run(self, unfinished: &Unfinished) -> Result<ExitCode> {
        let lcow = or_beside(self.lcow, "lcow")?;
        let firmware =
            self.firmware.or_else(|| Path::new(FIRMWARE).is_file().then(|| PathBuf::from(FIRMWARE)));
        let timeout = Duration::from_secs(self.timeout);
        let unfinished = unfinished.clone();
        let checked = check::run(&Options { dir: self.dir, lcow, firmware, timeout, unfinished })?;
        say(|out| print(&checked, out))?;
        Ok(if checked.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What came of comparing files with the list `name`.
fn list(name: &str, faults: &[Fault], out: &mut dyn Write) -> io::Result<()> {
    if faults.is_empty() {
        return writeln!(out, "{name}: the files are what was built");
    }
    faults.iter().try_for_each(|fault| writeln!(out, "{name}: FAILED: {fault}"))
}

fn print(checked: &Checked, out: &mut dyn Write) -> io::Result<()> {
    for (name, bytes) in &checked.sizes {
        writeln!(out, "{name:<36} {:>9}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)?;
    }
    match &checked.faults {
        Some(faults) => list("SHA256SUMS", faults, out)?,
        None => {
            writeln!(out, "SHA256SUMS: there is none, so nobody knows whether the files belong together")?;
        }
    }
    checked.native.iter().try_for_each(|(name, faults)| list(name, faults, out))?;
    for line in &checked.kernel {
        writeln!(out, "kernel: {line}")?;
    }
    writeln!(
        out,
        "{:<36} {:>8} {:>10} {:>11} {:>10}",
        "way (milliseconds)", "/init", "connected", "negotiated", "power off"
    )?;
    for tried in &checked.tried {
        match &tried.result {
            Ok(stages) => writeln!(
                out,
                "{:<36} {:>8} {:>10} {:>11} {:>10}",
                tried.way,
                stages.init.as_millis(),
                stages.connected.as_millis(),
                stages.negotiated.as_millis(),
                stages.power_off.as_millis(),
            )?,
            Err(error) => writeln!(out, "{:<36} FAILED: {error}", tried.way)?,
        }
    }
    for (name, reason) in &checked.left_out {
        writeln!(out, "{name:<36} not tried: {reason}")?;
    }
    Ok(())
}
