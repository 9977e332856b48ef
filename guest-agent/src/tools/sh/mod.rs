//! `sh`: enough of a shell for what hosts ask of one, and for a look around at the console.
//!
//! Hosts start the agent beside a console shell with `sh -c "COMMAND & exec sh"` (spec section 14.1); without any `sh`
//! such a boot would panic. Images for debugging have `BusyBox`'s instead.

mod parse;
mod run;

use std::ffi::OsString;
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

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    #[test]
    fn quotes_around_an_attached_script_are_taken_off() {
        assert_eq!(unquoted("\"a 'b'& exec sh\""), "a 'b'& exec sh");
        assert_eq!(unquoted("'a'"), "a");
        assert_eq!(unquoted("a"), "a");
        assert_eq!(unquoted("\""), "\"");
    }
}
