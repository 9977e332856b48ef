//! `uvm-build inspect`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use uvm_image::inspect;

/// Show what is in boot files: kernels, initrds, disks, with their components and sizes.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A boot file, or a directory of them
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<()> {
        for path in inspect::files(&self.path)? {
            let found = inspect::inspect(&path)?;
            let size = path.metadata().map_or(0, |meta| meta.len());
            println!("{} ({size} bytes)", path.display());
            for (name, value) in &found.facts {
                println!("  {name}: {value}");
            }
            for (name, files, bytes) in found.components.rows() {
                println!("  {name:<16} {files:>6} files {bytes:>12} bytes");
            }
        }
        Ok(())
    }
}
