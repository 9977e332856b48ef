//! Options of the commands that make boot files.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use uvm_image::formats::{Format, Target, write};
use uvm_image::progress::{Progress, Style};
use uvm_image::report::Report;

use super::beside::or_beside;
use super::output::tell;

/// How work that takes long is shown.
#[derive(Debug, Args)]
pub(super) struct Shown {
    /// How progress is shown on stderr: auto (bars at a terminal, else nothing), plain, json, none
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    progress: Style,
}

impl Shown {
    pub(super) fn progress(&self) -> Progress {
        Progress::new(self.progress)
    }
}

/// Options of everything that makes boot files with the guest agent.
#[derive(Debug, Args)]
pub(super) struct Making {
    /// The guest agent, a static x86-64 program; what is linked into it is read from FILE.linked.json [default: guest-agent
    /// beside uvm-build]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,

    /// Check every block of rootfs.vhd by hash (dm-verity)
    #[arg(long)]
    verity: bool,

    /// The hypervisor that uvm.vhdx and unified.efi are for, which carry their own kernel command line
    #[arg(long, value_name = "hyper-v|qemu", default_value = "hyper-v")]
    target: Target,

    /// Further words for that command line
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    append: String,

    /// The EFI stub of uvm.vhdx and unified.efi [default: that of the package systemd-boot-efi]
    #[arg(long, value_name = "FILE")]
    efi_stub: Option<PathBuf>,

    /// Leave out sbom.spdx.json, the list of what is in the boot files and in the root
    #[arg(long)]
    no_sbom: bool,

    #[command(flatten)]
    shown: Shown,
}

impl Making {
    /// The agent's file.
    pub(super) fn agent(&self) -> Result<PathBuf> {
        or_beside(self.agent.clone(), "guest-agent")
    }

    /// Whether what is in them is listed.
    pub(super) fn sbom(&self) -> bool {
        !self.no_sbom
    }

    /// How far it has come, as the user wants to see it.
    pub(super) fn progress(&self) -> Progress {
        self.shown.progress()
    }

    /// How `formats` are written.
    pub(super) fn options(self, formats: BTreeSet<Format>) -> Result<write::Options> {
        let default = write::Options::default();
        Ok(write::Options {
            formats,
            verity: self.verity,
            target: self.target,
            append: self.append,
            efi_stub: self.efi_stub.unwrap_or(default.efi_stub),
            epoch: source_date_epoch()?,
        })
    }
}

/// Says what was made.
pub(super) fn print(report: &Report) {
    for warning in &report.warnings {
        tell(format_args!("warning: {warning}"));
    }
    // When it cannot be written there is nobody left to tell.
    let _ = write!(io::stderr().lock(), "{report}");
}

/// The time that reproducible builds give to what they make (reproducible-builds.org, `SOURCE_DATE_EPOCH`).
fn source_date_epoch() -> Result<Option<i64>> {
    let Some(value) = env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let value = value.to_string_lossy();
    let wanted = || format!("SOURCE_DATE_EPOCH={value}: a number of seconds is wanted");
    let seconds: i64 = value.parse().with_context(wanted)?;
    if !EPOCHS.contains(&seconds) {
        bail!("{}, from 1970 to 9999", wanted());
    }
    Ok(Some(seconds))
}

/// Seconds that can be written as a date with a year of four digits.
const EPOCHS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;
