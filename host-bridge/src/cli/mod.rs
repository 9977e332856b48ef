//! The `lcow` command line.

mod boot;
mod options;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Status of a failure of our own, as with docker.
const OWN_FAILURE: u8 = 125;

/// Linux containers, each in its own utility VM.
#[derive(Debug, Parser)]
#[command(name = "lcow", version)]
struct Lcow {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Utility VMs by themselves.
    #[command(subcommand)]
    Uvm(Uvm),
}

#[derive(Debug, Subcommand)]
enum Uvm {
    /// Boot a utility VM and leave it to a host implementation behind Unix sockets.
    ///
    /// Stays in the foreground with the VM's console on standard output. Exit status: 0 when the guest powered off or
    /// on SIGTERM and SIGINT, 1 when it panicked or reset, 125 when something failed on this side.
    Boot(boot::Args),
}

/// Runs the command.
pub async fn main() -> ExitCode {
    let lcow = match Lcow::try_parse() {
        Ok(lcow) => lcow,
        Err(error) => {
            // A closed terminal is no reason to fail differently.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { OWN_FAILURE } else { 0 });
        }
    };
    raise_descriptor_limit();
    let result = match lcow.command {
        Command::Uvm(Uvm::Boot(args)) => boot::run(args).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("lcow: {error:#}");
        ExitCode::from(OWN_FAILURE)
    })
}

/// Every stream of a guest takes one or two descriptors, and the usual soft limit of 1024 exists for programs that use
/// `select`.
#[cfg(unix)]
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}
