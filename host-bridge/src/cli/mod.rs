//! The `lcow` command line.

mod boot;
mod containers;
mod images;
mod options;
mod pull;
mod run;
mod signals;
mod table;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Status of a failure of our own, as with docker.
const OWN_FAILURE: u8 = 125;

const EXAMPLES: &str = "\
Examples:
  lcow pull busybox                            bring an image here
  lcow load busybox.tar                        or from what `docker save` has written
  lcow images                                  see what is here
  lcow run --rm busybox echo hello             run a container in a utility VM of its own
  lcow run --rm -it busybox sh                 look around in one
  lcow run --name work busybox touch /done     keep what it wrote
  lcow ps -a                                   see containers that run or were kept
  lcow rm work                                 throw one away

Images and containers are in $LCOW_HOME, else in lcow in your data directory. `lcow run --help` tells more.";

/// Linux containers, each in its own utility VM.
#[derive(Debug, Parser)]
#[command(name = "lcow", version, after_help = EXAMPLES)]
struct Lcow {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a container from an image, in a utility VM of its own.
    Run(Box<run::Args>),
    /// Bring an image from a registry here.
    Pull(pull::PullArgs),
    /// Bring images from a file or directory here.
    Load(images::LoadArgs),
    /// Write images to an archive.
    Save(images::SaveArgs),
    /// Make an image of a root file system.
    Import(images::ImportArgs),
    /// List the images that are here.
    Images(images::ImagesArgs),
    /// Give an image one more name.
    Tag(images::TagArgs),
    /// Remove images.
    Rmi(images::RmiArgs),
    /// Show all that is known about images.
    Inspect(images::InspectArgs),
    /// Show how an image came about.
    History(images::HistoryArgs),
    /// List the containers that run.
    Ps(containers::PsArgs),
    /// Remove containers that have ended, with everything they wrote.
    Rm(containers::RmArgs),
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
    let Some(command) = lcow.command else {
        let help = Lcow::command().render_long_help();
        // As above.
        let _ = table::print(&help.to_string());
        return ExitCode::SUCCESS;
    };
    raise_descriptor_limit();
    let result = match command {
        Command::Run(args) => run::run(*args).await,
        Command::Pull(args) => pull::pull(args).await,
        Command::Load(args) => images::load(args),
        Command::Save(args) => images::save(&args),
        Command::Import(args) => images::import(args),
        Command::Images(args) => images::images(&args),
        Command::Tag(args) => images::tag(&args),
        Command::Rmi(args) => images::rmi(&args),
        Command::Inspect(args) => images::inspect(&args),
        Command::History(args) => images::history(&args),
        Command::Ps(args) => containers::ps(&args),
        Command::Rm(args) => containers::rm(&args),
        Command::Uvm(Uvm::Boot(args)) => boot::run(args).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("lcow: {error:#}");
        ExitCode::from(error.downcast_ref::<run::NotRunnable>().map_or(OWN_FAILURE, |error| error.status))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Lcow::command().debug_assert();
    }
}
