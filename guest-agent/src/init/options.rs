//! The options of `/init` (spec section 14.2): `init [-d SHELL] [-e PORT] [-w] PROGRAM [ARGUMENT…]`.

use std::ffi::{OsStr, OsString};

use lcow_protocol::VsockPort;

/// What PID 1 was asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Host port that gives boot entropy.
    pub(super) entropy_port: Option<VsockPort>,
    /// Make `/etc` and `/var` writable over a read-only root.
    pub(super) writable_overlays: bool,
    /// The program and its arguments; never empty.
    pub(super) program: Vec<OsString>,
    /// A shell that is started as well; the machine lives as long as it does (`-d`).
    pub(super) shell: Option<Vec<OsString>>,
}

/// A kernel command line that PID 1 does not understand.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; usage: init [-d SHELL] [-e PORT] [-w] PROGRAM [ARGUMENT…]")]
pub(super) struct Error(String);

/// What runs when nothing is asked for.
const DEFAULT_PROGRAM: [&str; 4] = ["/bin/gcs", "-loglevel", "debug", "-logfile=/run/gcs/gcs.log"];

impl Options {
    /// Reads options until the first word that is none, like POSIX `getopt`.
    pub(super) fn parse(args: Vec<OsString>) -> Result<Self, Error> {
        let mut options =
            Self { entropy_port: None, writable_overlays: false, program: Vec::new(), shell: None };
        let mut shell = None;
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let text = arg.to_str().unwrap_or_default();
            let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                options.program.push(arg);
                break;
            };
            if letters == "-" {
                break;
            }
            match letters.split_at(1) {
                ("w", "") => options.writable_overlays = true,
                ("e", value) => options.entropy_port = Some(port(&value_of('e', value, &mut args)?)?),
                ("d", value) => shell = Some(value_of('d', value, &mut args)?),
                _ => return Err(Error(format!("unknown option {text}"))),
            }
        }
        options.program.extend(args);
        if options.program.last().is_some_and(|word| is_of_firmware(word)) {
            options.program.pop();
        }
        match (options.program.is_empty(), shell) {
            (true, Some(shell)) => options.program = vec![shell],
            (true, None) => options.program = DEFAULT_PROGRAM.map(OsString::from).to_vec(),
            (false, shell) => options.shell = shell.map(|shell| vec![shell]),
        }
        Ok(options)
    }
}

/// Whether `word` was appended by firmware: OVMF puts the initrd's name behind everything, even behind `--`.
fn is_of_firmware(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| word.starts_with("initrd="))
}

fn value_of(
    flag: char,
    attached: &str,
    args: &mut impl Iterator<Item = OsString>,
) -> Result<OsString, Error> {
    if !attached.is_empty() {
        return Ok(attached.into());
    }
    args.next().ok_or_else(|| Error(format!("-{flag} needs a value")))
}

fn port(text: &OsStr) -> Result<VsockPort, Error> {
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|port| *port != 0);
    number.map(VsockPort).ok_or_else(|| Error(format!("-e: {} is no port", text.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_firmware_appends_is_for_nobody() {
        let options = parse("-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 initrd=initrd").unwrap();
        assert_eq!(options.program.last().unwrap(), "-v4");
    }

    fn parse(line: &str) -> Result<Options, Error> {
        Options::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn reads_the_line_that_hosts_send() {
        let options = parse("-e 1 -w /bin/vsockexec -e 109 /bin/gcs -v4").unwrap();
        assert_eq!(options.entropy_port, Some(VsockPort(1)));
        assert!(options.writable_overlays);
        assert_eq!(options.program, ["/bin/vsockexec", "-e", "109", "/bin/gcs", "-v4"]);
    }

    #[test]
    fn without_a_program_the_agent_runs_alone() {
        assert_eq!(parse("").unwrap().program[0], "/bin/gcs");
        assert_eq!(parse("-d /bin/sh").unwrap().program, ["/bin/sh"]);
        let both = parse("-d /bin/sh /bin/gcs -v4").unwrap();
        assert_eq!((both.program.len(), both.shell), (2, Some(vec!["/bin/sh".into()])));
        assert_eq!(parse("-e1 -- -x").unwrap().program, ["-x"]);
    }

    #[test]
    fn mistakes_are_explained() {
        for bad in ["-x", "-e", "-e 0 p", "-e x p", "-wz p"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
