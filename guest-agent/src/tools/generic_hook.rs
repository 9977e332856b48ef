//! `generichook COMMAND [ARGUMENT…]` (spec section 14.7): an OCI hook that fills the container's id, pid and annotations
//! into a command line and the environment, and runs the command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::process::{Command, ExitCode};

use serde::Deserialize;

/// Names a file that is logged when the command fails.
const LOG_FILE: &str = "GENERIC_HOOK_LOG_DEBUG_FILE";
/// Longest piece of that file in one message.
const PIECE: usize = 8000;

/// What the runtime tells its hooks on their standard input.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    id: String,
    pid: u64,
    annotations: BTreeMap<String, String>,
}

/// A hook that failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("reading the container's state")]
    State(#[from] serde_json::Error),
    #[error("{0:?} cannot be expanded: only {{{{id}}}}, {{{{pid}}}} and {{{{annotation \"KEY\"}}}} can")]
    Template(String),
    #[error("running {program}")]
    Run { program: String, source: io::Error },
    #[error("{program} ended with {status}")]
    Status { program: String, status: std::process::ExitStatus },
}

/// Runs the hook.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let args = super::texts(args);
    if args.is_empty() {
        return super::usage("generichook", "COMMAND [ARGUMENT…]");
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let status = super::failed("generichook", &error);
            show_log();
            status
        }
    }
}

fn run(args: &[String]) -> Result<(), Error> {
    let state: State = serde_json::from_reader(io::stdin().lock())?;
    let args = args.iter().map(|arg| expand(arg, &state)).collect::<Result<Vec<_>, _>>()?;
    let variables = std::env::vars().map(|(name, value)| Ok((name, expand(&value, &state)?)));
    let variables = variables.collect::<Result<Vec<_>, Error>>()?;
    let program = args[0].clone();
    let status = Command::new(&program)
        .args(&args[1..])
        .env_clear()
        .envs(variables)
        .status()
        .map_err(|source| Error::Run { program: program.clone(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Status { program, status }) }
}

fn show_log() {
    let Some(path) = std::env::var_os(LOG_FILE) else { return };
    // Without the file there is nothing to add to the error.
    let text = fs::read(path).unwrap_or_default();
    for piece in text.chunks(PIECE) {
        eprintln!("{}", String::from_utf8_lossy(piece));
    }
}

/// Replaces what stands between doubled braces.
fn expand(text: &str, state: &State) -> Result<String, Error> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let bad = || Error::Template(text.to_owned());
        let (template, after) = after.split_once("}}").ok_or_else(bad)?;
        expanded.push_str(before);
        match template.trim().trim_matches('-').trim() {
            "id" => expanded.push_str(&state.id),
            "pid" => expanded.push_str(&state.pid.to_string()),
            call => {
                let key = call.strip_prefix("annotation").map(str::trim);
                let key = key.and_then(|key| key.strip_prefix('"')?.strip_suffix('"')).ok_or_else(bad)?;
                expanded.push_str(state.annotations.get(key).map_or("", String::as_str));
            }
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_from_the_state() {
        let state: State =
            serde_json::from_str(r#"{"ociVersion":"1.0","id":"c1","pid":7,"annotations":{"a.b":"yes"}}"#)
                .unwrap();
        assert_eq!(expand("--pid={{pid}} {{ id }}", &state).unwrap(), "--pid=7 c1");
        assert_eq!(expand(r#"x{{annotation "a.b"}}y{{annotation "none"}}"#, &state).unwrap(), "xyesy");
        assert_eq!(expand("plain } text {", &state).unwrap(), "plain } text {");
        for bad in ["{{pid", "{{other}}", "{{annotation a}}"] {
            assert!(expand(bad, &state).is_err(), "{bad}");
        }
    }
}
