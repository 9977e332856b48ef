//! `uvm-build disk`: disks made and read without mounting.
mod check;
mod flags;
mod output;
mod show;
mod source;
mod stream;
mod tar2ext4;

use std::io;

use anyhow::Result;
use clap::{Args, Subcommand};

pub(crate) use flags::normalised;

/// Layer disks from archives, and what is in disks, without mounting them
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Disk {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(name = "tar2ext4")]
    Tar2Ext4(tar2ext4::Tar2Ext4),
    Ls(show::Ls),
    Cat(show::Cat),
    Diff(stream::Diff),
    Export(stream::Export),
    Check(check::Check),
}

impl Disk {
    pub(crate) fn run(self) -> Result<()> {
        let done = match self.command {
            Command::Tar2Ext4(command) => command.run(),
            Command::Ls(command) => command.run(),
            Command::Cat(command) => command.run(),
            Command::Diff(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Check(command) => command.run(),
        };
        // Whoever read our output has seen enough.
        done.or_else(|error| if is_broken_pipe(&error) { Ok(()) } else { Err(error) })
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
