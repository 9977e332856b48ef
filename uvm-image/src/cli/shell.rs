//! `uvm-build completions` and `uvm-build man`.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a shell's completions.
///
/// For bash: uvm-build completions bash > /etc/bash_completion.d/uvm-build
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) {
        clap_complete::generate(self.shell, &mut super::Cli::command(), "uvm-build", &mut io::stdout());
    }
}

/// Write a manual page for each command.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory for the pages; made if it is not there
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<()> {
        let failed = || format!("cannot write manual pages to {}", self.dir.display());
        fs::create_dir_all(&self.dir).with_context(failed)?;
        clap_mangen::generate_to(super::Cli::command(), &self.dir).with_context(failed)
    }
}
