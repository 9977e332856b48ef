//! `uvm-build`: boot files for utility VMs.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("uvm-build: {error:#}");
            ExitCode::FAILURE
        }
    }
}
