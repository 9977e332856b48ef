//! `uvm-build completions` and `uvm-build man`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::say;

/// Print a shell's completions.
///
/// For bash: uvm-build completions bash > /etc/bash_completion.d/uvm-build
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "uvm-build", &mut script);
        say(|out| out.write_all(&script))
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
