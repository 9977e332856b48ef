//! Running programs with errors that say which command failed.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A command for `program`, which is also looked for where system administrators' programs are: people's PATH often
/// lacks those directories.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", search_path()).stdin(Stdio::null());
    command
}

fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// Runs `command` with all its output going to stderr: stdout is for results.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.stdout(io::stderr()).status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed with {status}");
    }
    Ok(())
}

/// Runs `command` and returns what it writes to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed with {}: {}", output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `command` runs and succeeds; nothing of it is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn show(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_command() {
        let error = run(command("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("`sh -c exit 3` failed with") && error.contains('3'), "{error}");
        let error = output(command("sh").args(["-c", "echo why >&2; exit 1"])).unwrap_err().to_string();
        assert!(error.ends_with("why"), "{error}");
        let error = run(&mut command("no-such-program")).unwrap_err().to_string();
        assert!(error.contains("cannot run `no-such-program`"), "{error}");
        assert!(!succeeds(&mut command("no-such-program")));
        assert!(succeeds(&mut command("true")));
    }
}
