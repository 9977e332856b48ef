//! `uvm-build`: boot files for utility VMs.
#![forbid(unsafe_code)]

mod cli;

use std::process::{self, ExitCode};

use clap::Parser;
use uvm_image::interrupt::Unfinished;

/// What shells say of a program that SIGINT ended: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = cli::Cli::parse_from(cli::disk::normalised(std::env::args_os()));
    let unfinished = Unfinished::default();
    let ended = unfinished.clone();
    let handler = ctrlc::set_handler(move || {
        let _held = ended.remove();
        process::exit(INTERRUPTED);
    });
    if let Err(error) = handler {
        cli::output::tell(format_args!("cannot wait for signals: {error}"));
        return ExitCode::FAILURE;
    }
    let result = cli.run(&unfinished);
    // What fails because the program is being ended is not worth a message.
    let _held = unfinished.hold();
    match result {
        Ok(status) => status,
        Err(error) => {
            cli::output::tell(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
