//! The developer's commands. Each has its own module with a `run` function and its arguments; `setup` and `build` are
//! also steps of the others.
#![forbid(unsafe_code)]

mod bench;
mod boot;
mod build;
mod demo;
mod elf;
mod kernel;
mod places;
mod process;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer's commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::Args),
    Build(build::Args),
    Kernel(kernel::Args),
    Demo(demo::Args),
    Test(test::Args),
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(args) => setup::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Build(args) => build::run(&args).map(|_| ExitCode::SUCCESS),
        Command::Kernel(args) => kernel::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
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
    #[test]
    fn the_readme_names_commands_that_exist() {
        let readme = std::fs::read_to_string(places::workspace().join("README.md")).unwrap();
        let mut commands = 0;
        for line in readme.lines().filter_map(|line| line.strip_prefix("    cargo xtask ")) {
            let line = line.split('#').next().unwrap_or_default().replace(['[', ']'], "");
            // The names of values, where a number is wanted.
            let words = line.split_whitespace().map(|word| if word == "N" { "3" } else { word });
            let parsed = Cli::try_parse_from(["cargo xtask"].into_iter().chain(words));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
            commands += 1;
        }
        assert!(commands > 4);
    }
}
