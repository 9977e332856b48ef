//! `uvm-build inspect`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use uvm_image::inspect::{self, InspectError, Inspected};

use super::output::{say, tell};

/// Show what is in boot files: kernels, initrds, disks, with their components and sizes.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A boot file, or a directory of them
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut status = ExitCode::SUCCESS;
        let files = inspect::files(&self.path)?;
        for fault in inspect::faults(&self.path) {
            tell(fault);
            status = ExitCode::FAILURE;
        }
        for path in files {
            match inspect::inspect(&path) {
                Ok(found) => print(&path, &found)?,
                Err(InspectError::Unknown(_)) if path != self.path && !inspect::is_output(&path) => {
                    say(|out| writeln!(out, "{}: no boot file", path.display()))?;
                }
                // The others are worth a look all the same.
                Err(error) => {
                    tell(format_args!("{:#}", anyhow::Error::from(error)));
                    status = ExitCode::FAILURE;
                }
            }
        }
        Ok(status)
    }
}

fn print(path: &Path, found: &Inspected) -> Result<()> {
    let size = path.metadata().map_or(0, |meta| meta.len());
    say(|out| {
        writeln!(out, "{} ({size} bytes)", path.display())?;
        for (name, value) in &found.facts {
            writeln!(out, "  {name}: {value}")?;
        }
        for (name, files, bytes) in found.components.rows() {
            writeln!(out, "  {name:<16} {files:>6} files {bytes:>12} bytes")?;
        }
        Ok(())
    })
}
