//! The agent's flags, in Go's syntax (spec section 14.6): `-x v`, `-x=v`, `--x v`; switches only `-x` or
//! `-x=false`; an unknown flag ends the program with status 2.

use std::ffi::OsString;
use std::path::PathBuf;

use tracing::Level;

use crate::log::Format;
use crate::storage::VerityPolicy;

/// What the flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags that hosts send")]
pub(crate) struct Options {
    /// `-v4`: without it every request is answered with `NotImpl`.
    pub(crate) protocol_v4: bool,
    /// `-loglevel`.
    pub(crate) log_level: Level,
    /// `-log-format`.
    pub(crate) log_format: Format,
    /// `-logfile`: instead of stderr.
    pub(crate) log_file: Option<PathBuf>,
    /// `-core-dump-location`: pattern for `/proc/sys/kernel/core_pattern`.
    pub(crate) core_pattern: Option<String>,
    /// `-kmsgLogLevel`: kernel messages up to this priority are forwarded.
    pub(crate) kmsg_level: u8,
    /// `-use-inouterr`: the bridge is stdin and stdout.
    pub(crate) use_stdio: bool,
    /// `-root-mem-reserve-bytes`: memory that containers together do not get.
    pub(crate) memory_reserve: u64,
    /// `-gcs-mem-limit-bytes`: the agent's own use above this is logged.
    pub(crate) memory_alarm: u64,
    /// `-disable-time-sync`.
    pub(crate) disable_time_sync: bool,
    /// `-scrub-logs`.
    pub(crate) scrub_logs: bool,
    /// `-initial-policy-stance`: `deny` needs a policy engine, which this agent does not have.
    pub(crate) deny_by_default: bool,
    /// `-require-verity` and `-verity-root`: what read-only layers have to fulfil.
    pub(crate) verity: VerityPolicy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            protocol_v4: false,
            log_level: Level::DEBUG,
            log_format: Format::Text,
            log_file: None,
            core_pattern: None,
            kmsg_level: 4,
            use_stdio: false,
            memory_reserve: 75 << 20,
            memory_alarm: 50 << 20,
            disable_time_sync: false,
            scrub_logs: true,
            deny_by_default: false,
            verity: VerityPolicy::default(),
        }
    }
}

/// How a flag takes its value and where that goes.
#[derive(Clone, Copy)]
enum Flag {
    Switch(fn(&mut Options, bool)),
    Value(fn(&mut Options, &str) -> Option<()>),
}

const FLAGS: &[(&str, Flag)] = &[
    ("v4", Flag::Switch(|options, on| options.protocol_v4 = on)),
    ("use-inouterr", Flag::Switch(|options, on| options.use_stdio = on)),
    ("disable-time-sync", Flag::Switch(|options, on| options.disable_time_sync = on)),
    ("scrub-logs", Flag::Switch(|options, on| options.scrub_logs = on)),
    ("require-verity", Flag::Switch(|options, on| options.verity.required = on)),
    ("verity-root", Flag::Value(|options, text| root_hash(text).map(|hash| options.verity.roots.push(hash)))),
    ("loglevel", Flag::Value(|options, text| level(text).map(|level| options.log_level = level))),
    ("log-format", Flag::Value(|options, text| format(text).map(|format| options.log_format = format))),
    (
        "logfile",
        Flag::Value(|options, text| {
            options.log_file = non_empty(text).map(PathBuf::from);
            Some(())
        }),
    ),
    (
        "core-dump-location",
        Flag::Value(|options, text| {
            options.core_pattern = non_empty(text);
            Some(())
        }),
    ),
    ("kmsgLogLevel", Flag::Value(|options, text| text.parse().ok().map(|level| options.kmsg_level = level))),
    (
        "root-mem-reserve-bytes",
        Flag::Value(|options, text| text.parse().ok().map(|bytes| options.memory_reserve = bytes)),
    ),
    (
        "gcs-mem-limit-bytes",
        Flag::Value(|options, text| text.parse().ok().map(|bytes| options.memory_alarm = bytes)),
    ),
    (
        "initial-policy-stance",
        Flag::Value(|options, text| stance(text).map(|deny| options.deny_by_default = deny)),
    ),
];

fn level(text: &str) -> Option<Level> {
    Some(match text {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warning" | "warn" => Level::WARN,
        "error" | "fatal" | "panic" => Level::ERROR,
        _ => return None,
    })
}

fn format(text: &str) -> Option<Format> {
    match text {
        "json" => Some(Format::Json),
        "text" => Some(Format::Text),
        _ => None,
    }
}

fn stance(text: &str) -> Option<bool> {
    match text {
        "allow" => Some(false),
        "deny" => Some(true),
        _ => None,
    }
}

/// A SHA-256 in hexadecimal; the flag may be repeated, for there are several layers.
fn root_hash(text: &str) -> Option<String> {
    let valid = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| text.to_ascii_lowercase())
}

fn non_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// As Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Flags that the agent does not understand.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}\nflags: {flags}", flags = FLAGS.iter().map(|(name, _)| format!("-{name}")).collect::<Vec<_>>().join(" "))]
pub(crate) struct Error(String);

impl Options {
    /// Reads the flags.
    pub(crate) fn parse(args: Vec<OsString>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
            let name = name.ok_or_else(|| Error(format!("unexpected argument {arg:?}")))?;
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let flag = FLAGS.iter().find(|(flag, _)| *flag == name).map(|(_, flag)| *flag);
            match flag.ok_or_else(|| Error(format!("flag provided but not defined: -{name}")))? {
                Flag::Switch(set) => {
                    let on = value.map_or(Some(true), |value| parse_bool(&value));
                    set(&mut options, on.ok_or_else(|| Error(format!("-{name} takes true or false")))?);
                }
                Flag::Value(set) => {
                    let value = value
                        .or_else(|| args.next())
                        .ok_or_else(|| Error(format!("-{name} needs a value")))?;
                    set(&mut options, &value)
                        .ok_or_else(|| Error(format!("invalid value {value:?} for -{name}")))?;
                }
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Error> {
        Options::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn reads_the_line_that_hosts_send() {
        let options = parse("-v4 -log-format json -loglevel info").unwrap();
        let expected = Options {
            protocol_v4: true,
            log_format: Format::Json,
            log_level: Level::INFO,
            ..Options::default()
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn every_flag_and_every_spelling_is_accepted() {
        let options = parse(
            "--v4=false -use-inouterr --loglevel=panic -log-format=text -logfile /x -core-dump-location |y \
             -kmsgLogLevel 7 -root-mem-reserve-bytes 1 -gcs-mem-limit-bytes 2 -disable-time-sync \
             -scrub-logs=false -initial-policy-stance deny -require-verity -verity-root \
             ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
        )
        .unwrap();
        assert!(
            !options.protocol_v4 && options.use_stdio && options.disable_time_sync && !options.scrub_logs
        );
        assert_eq!((options.memory_reserve, options.memory_alarm, options.kmsg_level), (1, 2, 7));
        assert!(options.deny_by_default && options.verity.required);
        assert!(options.verity.roots[0].starts_with("abcdef"), "{:?}", options.verity);
    }

    #[test]
    fn unknown_flags_and_values_are_errors() {
        for bad in [
            "-x",
            "v4",
            "-loglevel",
            "-loglevel loud",
            "-v4=perhaps",
            "-verity-root abc",
            "-kmsgLogLevel -1",
            "-v4 extra",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
