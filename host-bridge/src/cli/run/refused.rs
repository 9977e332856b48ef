//! Flags of `docker run` that mean something which is not there yet. They are refused with the reason, never ignored.

use clap::{Arg, ArgAction, ArgMatches, Command};

const NO_NETWORK: &str = "containers have no network yet";
const NO_VOLUMES: &str = "there are no volumes yet";
const NO_BACKGROUND: &str = "containers run in the foreground only, for now";
const NO_PRIVILEGES: &str = "privileges and devices cannot be changed yet";
const NO_LIMIT: &str = "this limit cannot be set yet; there are -m and --cpus";
const NO_SHARING: &str = "each container has a utility VM of its own";
const NO_METADATA: &str = "this is not kept for containers yet";
const NO_PLATFORM: &str = "utility VMs run Linux on the host's own processor only";

/// Whether a flag has a value.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    Value,
}
use Takes::{Nothing, Value};

/// Long name, short name, value, reason.
const FLAGS: [(&str, Option<char>, Takes, &str); 53] = [
    ("publish", Some('p'), Value, NO_NETWORK),
    ("publish-all", Some('P'), Nothing, NO_NETWORK),
    ("expose", None, Value, NO_NETWORK),
    ("network", None, Value, NO_NETWORK),
    ("net", None, Value, NO_NETWORK),
    ("network-alias", None, Value, NO_NETWORK),
    ("net-alias", None, Value, NO_NETWORK),
    ("ip", None, Value, NO_NETWORK),
    ("ip6", None, Value, NO_NETWORK),
    ("link", None, Value, NO_NETWORK),
    ("mac-address", None, Value, NO_NETWORK),
    ("dns", None, Value, NO_NETWORK),
    ("dns-search", None, Value, NO_NETWORK),
    ("dns-option", None, Value, NO_NETWORK),
    ("add-host", None, Value, NO_NETWORK),
    ("volume", Some('v'), Value, NO_VOLUMES),
    ("mount", None, Value, NO_VOLUMES),
    ("tmpfs", None, Value, NO_VOLUMES),
    ("volumes-from", None, Value, NO_VOLUMES),
    ("volume-driver", None, Value, NO_VOLUMES),
    ("detach", Some('d'), Nothing, NO_BACKGROUND),
    ("restart", None, Value, NO_BACKGROUND),
    ("attach", Some('a'), Value, NO_BACKGROUND),
    ("privileged", None, Nothing, NO_PRIVILEGES),
    ("cap-add", None, Value, NO_PRIVILEGES),
    ("cap-drop", None, Value, NO_PRIVILEGES),
    ("security-opt", None, Value, NO_PRIVILEGES),
    ("device", None, Value, NO_PRIVILEGES),
    ("device-cgroup-rule", None, Value, NO_PRIVILEGES),
    ("gpus", None, Value, NO_PRIVILEGES),
    ("group-add", None, Value, NO_PRIVILEGES),
    ("sysctl", None, Value, NO_PRIVILEGES),
    ("init", None, Nothing, NO_PRIVILEGES),
    ("ulimit", None, Value, NO_LIMIT),
    ("shm-size", None, Value, NO_LIMIT),
    ("pids-limit", None, Value, NO_LIMIT),
    ("memory-swap", None, Value, NO_LIMIT),
    ("memory-reservation", None, Value, NO_LIMIT),
    ("cpu-shares", Some('c'), Value, NO_LIMIT),
    ("cpu-period", None, Value, NO_LIMIT),
    ("cpu-quota", None, Value, NO_LIMIT),
    ("cpuset-cpus", None, Value, NO_LIMIT),
    ("storage-opt", None, Value, NO_LIMIT),
    ("pid", None, Value, NO_SHARING),
    ("ipc", None, Value, NO_SHARING),
    ("uts", None, Value, NO_SHARING),
    ("userns", None, Value, NO_SHARING),
    ("cgroupns", None, Value, NO_SHARING),
    ("env-file", None, Value, NO_METADATA),
    ("label", Some('l'), Value, NO_METADATA),
    ("log-driver", None, Value, NO_METADATA),
    ("cidfile", None, Value, NO_METADATA),
    ("platform", None, Value, NO_PLATFORM),
];

/// The refused flags of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused(Vec<(&'static str, &'static str)>);

impl Refused {
    /// An error that names the flags, if there are any.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Some((_, reason)) = self.0.first() else { return Ok(()) };
        let same: Vec<String> =
            self.0.iter().filter(|(_, other)| other == reason).map(|(name, _)| format!("--{name}")).collect();
        anyhow::bail!("{} cannot be used: {reason}", same.join(", "))
    }

    fn present(matches: &ArgMatches) -> Self {
        use clap::parser::ValueSource::CommandLine;
        let given = FLAGS.iter().filter(|(name, ..)| matches.value_source(name) == Some(CommandLine));
        Self(given.map(|(name, _, _, reason)| (*name, *reason)).collect())
    }
}

impl clap::Args for Refused {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, &(name, short, takes, _)| {
            let arg = Arg::new(name).long(name).hide(true);
            let arg = match takes {
                Nothing => arg.action(ArgAction::SetTrue).num_args(0).overrides_with(name),
                Value => arg.action(ArgAction::Append).num_args(1).allow_hyphen_values(true),
            };
            command.arg(short.map_or_else(|| arg.clone(), |short| arg.clone().short(short)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Refused {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::present(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::present(matches);
        Ok(())
    }
}
