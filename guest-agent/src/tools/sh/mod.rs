//! `sh`: enough of a shell for what hosts ask of one, and for a look around at the console.
//!
//! Hosts start the agent beside a console shell with `sh -c "COMMAND & exec sh"` (spec section 14.1); without any `sh`
//! such a boot would panic. One kind of host leaves out the space before the quotes, which no other shell understands:
//! so the commands of that form are ours in images that have another `sh`, too, such as `BusyBox`'s for debugging, and
//! the shell that they leave at the console is the image's.

mod parse;
mod run;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// Runs a script given with `-c`, or lines from standard input.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let args = super::texts(args);
    let script = match args.first().map(|arg| (arg.as_str(), arg.strip_prefix("-c"))) {
        None => return run::interactive(),
        Some((_, Some(""))) => args.get(1).cloned(),
        // One kind of host leaves out the space, and the kernel leaves the quotes.
        Some((_, Some(attached))) => Some(unquoted(attached).to_owned()),
        Some(_) => None,
    };
    match script {
        Some(script) => run::script(&script),
        None => super::usage("sh", "[-c SCRIPT]"),
    }
}

/// Whether a program and its arguments are a shell with a script as hosts attach it: `sh -c"COMMAND& exec sh"`.
pub(crate) fn is_called_by_host(program: &OsStr, args: &[OsString]) -> bool {
    let quoted =
        |arg: &OsString| arg.to_str().is_some_and(|arg| arg.starts_with("-c\"") && arg.ends_with('"'));
    Path::new(program).file_name() == Some(OsStr::new("sh")) && args.first().is_some_and(quoted)
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_script_in_quotes_right_after_the_flag_is_a_hosts() {
        let is_hosts = |program: &str, arg: &str| is_called_by_host(program.as_ref(), &[arg.into()]);
        assert!(is_hosts("sh", "-c\"a& exec sh\"") && is_hosts("/bin/sh", "-c\"a\""));
        for (program, arg) in [("sh", "-c"), ("sh", "-ca"), ("sh", "\"a\""), ("bash", "-c\"a\"")] {
            assert!(!is_hosts(program, arg), "{program} {arg}");
        }
        assert!(!is_called_by_host("sh".as_ref(), &[]));
    }

    #[test]
    fn quotes_around_an_attached_script_are_taken_off() {
        assert_eq!(unquoted("\"a 'b'& exec sh\""), "a 'b'& exec sh");
        assert_eq!(unquoted("'a'"), "a");
        assert_eq!(unquoted("a"), "a");
        assert_eq!(unquoted("\""), "\"");
    }
}
