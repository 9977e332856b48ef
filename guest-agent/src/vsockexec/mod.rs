//! `vsockexec [-r] [-i PORT] [-o PORT] [-e PORT] [--] PROGRAM [ARGUMENT…]` (spec section 14.5): connects its standard
//! streams to ports of the host and becomes PROGRAM; with `-r` stays between them, so that connections can be replaced.

mod relay;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::process::ExitCode;

use lcow_protocol::VsockPort;

use crate::{multicall, sys, transport};

/// Runs the program.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    match run(args) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("vsockexec: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The host port to which a command line that begins with us sends the program's errors, if it does.
pub(crate) fn log_port(command_line: &[OsString]) -> Option<VsockPort> {
    let (name, args) = command_line.split_first()?;
    if Path::new(name).file_name()? != "vsockexec" {
        return None;
    }
    Plan::parse(args.to_vec()).ok()?.streams.get(&2).copied()
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}\nusage: vsockexec [-r] [-i PORT] [-o PORT] [-e PORT] [--] PROGRAM [ARGUMENT…]")]
    Usage(String),
    #[error("{0}: {source}", source = std::error::Error::source(.0).map(ToString::to_string).unwrap_or_default())]
    Dial(#[from] transport::DialError),
    #[error("placing stream {stream}: {source}")]
    Place { stream: RawFd, source: nix::Error },
    #[error("running {program:?}: {source}")]
    Exec { program: OsString, source: std::io::Error },
}

fn run(args: Vec<OsString>) -> Result<ExitCode, Error> {
    let plan = Plan::parse(args)?;
    if plan.relayed {
        return relay::run(&plan);
    }
    let mut connections: BTreeMap<VsockPort, OwnedFd> = BTreeMap::new();
    for port in plan.streams.values() {
        if !connections.contains_key(port) {
            connections.insert(*port, transport::dial_blocking(*port)?);
        }
    }
    for (stream, port) in &plan.streams {
        sys::place_fd(&connections[port], *stream)
            .map_err(|source| Error::Place { stream: *stream, source })?;
    }
    drop(connections);
    multicall::exec(&plan.program, &plan.arguments)
        .map_err(|source| Error::Exec { program: plan.program, source })
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Stay in between.
    relayed: bool,
    /// Standard stream to host port.
    streams: BTreeMap<RawFd, VsockPort>,
    program: OsString,
    arguments: Vec<OsString>,
}

impl Plan {
    fn parse(args: Vec<OsString>) -> Result<Self, Error> {
        let mut streams = BTreeMap::new();
        let mut relayed = false;
        let mut args = args.into_iter();
        let program = loop {
            let arg = args.next().ok_or_else(|| Error::Usage("no program given".to_owned()))?;
            let text = arg.to_str().unwrap_or_default();
            if text == "--" {
                break args.next().ok_or_else(|| Error::Usage("no program given".to_owned()))?;
            }
            let Some(option) = text.strip_prefix('-') else { break arg };
            let (flag, attached) = option.split_at(option.len().min(1));
            let stream = match flag {
                "r" if attached.is_empty() => {
                    relayed = true;
                    continue;
                }
                "i" => 0,
                "o" => 1,
                "e" => 2,
                _ => return Err(Error::Usage(format!("unknown option {text}"))),
            };
            let value = if attached.is_empty() {
                args.next().unwrap_or_default().to_string_lossy().into_owned()
            } else {
                attached.to_owned()
            };
            let port = value.parse().map_err(|_| Error::Usage(format!("-{flag}: {value:?} is no port")))?;
            streams.insert(stream, VsockPort(port));
        };
        Ok(Self { relayed, streams, program, arguments: args.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Plan, Error> {
        Plan::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn reads_the_line_that_hosts_send() {
        let plan = parse("-e 109 /bin/gcs -v4 -log-format json").unwrap();
        assert_eq!(plan.streams, BTreeMap::from([(2, VsockPort(109))]));
        assert_eq!(plan.program, "/bin/gcs");
        assert!(!plan.relayed && parse("-r -e 109 /bin/gcs").unwrap().relayed);
        assert_eq!(plan.arguments, ["-v4", "-log-format", "json"]);
    }

    #[test]
    fn streams_may_share_a_port_and_options_end_at_two_dashes() {
        let plan = parse("-o109 -e 109 -- -x").unwrap();
        assert_eq!(plan.streams, BTreeMap::from([(1, VsockPort(109)), (2, VsockPort(109))]));
        assert_eq!(plan.program, "-x");
    }

    #[test]
    fn the_log_port_is_found_in_a_command_line() {
        let port = |line: &str| log_port(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(port("/bin/vsockexec -r -e 109 /bin/gcs -e 7"), Some(VsockPort(109)));
        assert_eq!(port("/bin/vsockexec -o 109 /bin/gcs"), None);
        assert_eq!(port("/bin/gcs -e 109"), None);
    }

    #[test]
    fn mistakes_are_explained() {
        for bad in ["", "-e", "-e x prog", "-q 1 prog", "-e 109", "-e 109 --", "-e -1 prog", "-rx prog"] {
            assert!(matches!(parse(bad), Err(Error::Usage(_))), "{bad}");
        }
    }
}
