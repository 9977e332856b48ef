//! The command line.

mod beside;
mod build;
mod cache;
mod check;
mod default;
pub(crate) mod disk;
mod foreign;
mod inspect;
mod install;
mod kernel;
mod making;
pub(crate) mod output;
mod shell;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use uvm_image::interrupt::Unfinished;

/// Makes boot files for utility VMs: a kernel and an initrd with the guest agent.
#[derive(Debug, Parser)]
#[command(name = "uvm-build", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Default(default::Default),
    Build(build::Build),
    Cache(cache::CacheArgs),
    Check(check::Check),
    Inspect(inspect::Inspect),
    Install(install::Install),
    Completions(shell::Completions),
    Man(shell::Man),
    Disk(disk::Disk),
    #[command(subcommand)]
    Kernel(kernel::Kernel),
}

impl Cli {
    pub(crate) fn run(self, unfinished: &Unfinished) -> Result<ExitCode> {
        match self.command {
            Command::Default(command) => command.run(unfinished).map(|()| ExitCode::SUCCESS),
            Command::Build(command) => command.run(unfinished).map(|()| ExitCode::SUCCESS),
            Command::Cache(command) => command.run(unfinished).map(|()| ExitCode::SUCCESS),
            Command::Check(command) => command.run(unfinished),
            Command::Inspect(command) => command.run(),
            Command::Completions(command) => command.run().map(|()| ExitCode::SUCCESS),
            Command::Man(command) => command.run().map(|()| ExitCode::SUCCESS),
            Command::Install(command) => command.run(unfinished).map(|()| ExitCode::SUCCESS),
            Command::Disk(command) => command.run().map(|()| ExitCode::SUCCESS),
            Command::Kernel(command) => command.run(unfinished),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
