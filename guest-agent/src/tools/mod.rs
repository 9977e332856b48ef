//! The small programs that hosts, hooks and the kernel expect in a utility VM (spec section 14.7). Each does what its
//! callers use and refuses the rest.

pub(crate) mod cat;
pub(crate) mod dmesg;
pub(crate) mod generic_hook;
pub(crate) mod install_drivers;
pub(crate) mod ls;
pub(crate) mod mkfs_ext4;
pub(crate) mod modprobe;
pub(crate) mod sh;
pub(crate) mod test;
pub(crate) mod wait_paths;

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Wrong arguments.
const USAGE: u8 = 2;

/// Reports an error with its causes; the status is 1.
fn failed(program: &str, error: &dyn Error) -> ExitCode {
    eprintln!("{program}: {}", crate::causes::with_causes(error));
    ExitCode::FAILURE
}

/// Reports wrong arguments; the status is 2.
fn usage(program: &str, text: &str) -> ExitCode {
    eprintln!("{program}: usage: {program} {text}");
    ExitCode::from(USAGE)
}

/// Reports an error about a file; the status is 1.
fn failed_at(program: &str, path: &Path, error: &io::Error) -> ExitCode {
    eprintln!("{program}: {}: {error}", path.display());
    ExitCode::FAILURE
}

/// Arguments as text; what is not UTF-8 is replaced.
fn texts(args: Vec<OsString>) -> Vec<String> {
    args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
}
