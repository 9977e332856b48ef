//! The command line of `lcow run`.

use std::path::PathBuf;

use anyhow::Context;
use lcow_oci::spec::{ContainerOptions, Terminal};

use super::super::pull::RunPullArgs as PullArgs;
use super::limits::{Cpus, Memory};
use super::refused::Refused;
use crate::containers::ContainerName;

const EXAMPLES: &str = "\
Examples:
  lcow run --rm busybox echo hello
  lcow run --rm -it busybox sh
  echo abc | lcow run --rm -i busybox cat
  lcow run --rm -m 2g --cpus 1.5 -e MODE=fast -w /srv -u web busybox ./work

Memory: the container is limited to what -m asks for, exactly; its VM gets 256 MiB more, rounded up to 512 MiB. Without
-m the VM has 1024 MiB and the container no limit of its own. Processors: the container may use the time of --cpus; its
VM has as many processors, rounded up. Without --cpus it has 2, or 1 under emulation.

Ctrl-C and SIGTERM go to the container; a second one within 10 seconds ends its VM.

Exit status: the container's own, 128+N when signal N ended it; 125 when lcow failed, 126 when the command cannot be
executed, 127 when there is no such command.";

/// Arguments of `lcow run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "lcow run [OPTIONS] IMAGE [COMMAND]...")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(in crate::cli) struct Args {
    /// Remove the container and what it wrote when it ends
    #[arg(long)]
    pub(super) rm: bool,
    /// Pass standard input on; without it the container reads nothing
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Most memory: a number of bytes, or one with k, m or g behind it
    #[arg(short, long, value_name = "SIZE")]
    pub(super) memory: Option<Memory>,
    /// Processors, such as 1.5
    #[arg(long, value_name = "N")]
    pub(super) cpus: Option<Cpus>,
    /// An environment variable; without a value it is copied from here
    #[arg(short, long, value_name = "K[=V]")]
    env: Vec<String>,
    /// Current directory in the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Who runs it, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Its host name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Forbid writing to its root file system
    #[arg(long)]
    read_only: bool,
    /// Replaces the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// A name; made up unless given
    #[arg(long)]
    pub(super) name: Option<ContainerName>,
    /// Directory with kernel and initrd.img [default: `$LCOW_BOOT_FILES`, `boot` beside lcow, the user's data, the system's]
    #[arg(long, value_name = "DIR")]
    pub(super) boot_files: Option<PathBuf>,
    #[command(flatten)]
    pub(super) pull: PullArgs,
    #[command(flatten)]
    pub(super) refused: Refused,
    /// The image, and what to run instead of its own command
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    words: Vec<String>,
}

impl Args {
    /// The image.
    pub(super) fn image(&self) -> anyhow::Result<&str> {
        self.words.first().map(String::as_str).context("no image was given")
    }

    /// What the command line says about the container with this id.
    pub(super) fn options(
        &self,
        id: &str,
        terminal: Option<Terminal>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> ContainerOptions {
        ContainerOptions {
            command: self.words.iter().skip(1).cloned().collect(),
            entrypoint: self
                .entrypoint
                .as_ref()
                .map(|word| if word.is_empty() { Vec::new() } else { vec![word.clone()] }),
            env: self.env.iter().map(|word| copied(word, &variable)).collect(),
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            // As docker does: enough of the id to tell containers apart.
            hostname: self.hostname.clone().unwrap_or_else(|| id.chars().take(12).collect()),
            read_only: self.read_only,
            terminal,
            memory: self.memory.map(Memory::bytes),
            nano_cpus: self.cpus.map(Cpus::nano),
        }
    }
}

/// `K` becomes `K=V` with the value from here. If there is none it stays, which takes the image's variable away.
fn copied(word: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    match variable(word) {
        Some(value) if !word.contains('=') => format!("{word}={value}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Run {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Run::try_parse_from(std::iter::once("run").chain(line.split(' '))).map(|run| run.args)
    }

    fn options(line: &str) -> ContainerOptions {
        let here = |name: &str| (name == "HERE").then(|| "value".to_owned());
        parse(line).expect(line).options("0123456789abcdef", None, here)
    }

    #[test]
    fn flags_end_at_the_image() {
        let args = parse("--rm -it --name web busybox ls --rm -p 1 -- --name x").expect("valid");
        assert!(args.rm && args.interactive && args.tty);
        assert_eq!(args.image().expect("image"), "busybox");
        args.refused.check().expect("those are the container's");
        let words = args.options("", None, |_| None).command;
        assert_eq!(words, ["ls", "--rm", "-p", "1", "--", "--name", "x"]);
        assert_eq!(options("busybox -x").command, ["-x"]);
        assert_eq!(options("busybox --help").command, ["--help"]);
        assert_eq!(options("busybox -- x").command, ["--", "x"]);
        assert_eq!(options("-- busybox -x").command, ["-x"]);
        assert!(parse("--no-such-flag busybox").is_err());
        assert!(parse("--rm").is_err());
    }

    #[test]
    fn variables_are_copied_from_here() {
        assert_eq!(
            options("-e HERE -e THERE -e A=b -e B= busybox").env,
            ["HERE=value", "THERE", "A=b", "B="]
        );
    }

    #[test]
    fn the_rest_is_passed_on() {
        let options = options("-m 512m --cpus 1.5 -w /x -u web:7 --read-only --entrypoint cat busybox");
        assert_eq!(options.memory, Some(512 << 20));
        assert_eq!(options.nano_cpus, Some(1_500_000_000));
        assert_eq!(options.entrypoint, Some(vec!["cat".to_owned()]));
        assert_eq!(options.hostname, "0123456789ab");
        assert!(options.read_only);
        assert_eq!(self::options("--entrypoint= busybox").entrypoint, Some(Vec::new()));
        assert_eq!(self::options("--hostname web busybox").hostname, "web");
    }

    #[test]
    fn flags_that_are_not_there_yet_are_refused_with_the_reason() {
        for (line, name, reason) in [
            ("-p 80:80 busybox", "--publish", "network"),
            ("-p80:80 --publish=1:1 busybox", "--publish", "network"),
            ("--net host busybox", "--net", "network"),
            ("--network=none busybox", "--network", "network"),
            ("-v /a:/b busybox", "--volume", "volumes"),
            ("--mount type=bind busybox", "--mount", "volumes"),
            ("-d busybox", "--detach", "foreground"),
            ("-itd busybox", "--detach", "foreground"),
            ("--privileged busybox", "--privileged", "privileges"),
            ("--cap-add ALL busybox", "--cap-add", "privileges"),
        ] {
            let error = parse(line).expect(line).refused.check().expect_err(line).to_string();
            assert!(error.contains(name) && error.contains(reason), "{line}: {error}");
        }
        parse("--rm busybox").expect("valid").refused.check().expect("nothing to refuse");
    }
}
