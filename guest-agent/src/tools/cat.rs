//! `cat [FILE…]`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Writes the files, or standard input, to standard output.
pub(crate) fn main(mut args: Vec<OsString>) -> ExitCode {
    if args.is_empty() {
        args.push("-".into());
    }
    let mut status = ExitCode::SUCCESS;
    for name in &args {
        let mut output = io::stdout().lock();
        let copied = if name == "-" {
            io::copy(&mut io::stdin().lock(), &mut output)
        } else {
            File::open(name).and_then(|mut file| io::copy(&mut file, &mut output))
        };
        if let Err(error) = copied {
            status = super::failed_at("cat", Path::new(name), &error);
        }
    }
    status
}
