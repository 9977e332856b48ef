//! `lcow ps` and `lcow rm`.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use super::OWN_FAILURE;
use super::table::{Table, age, print};
use crate::containers::{Condition, ContainerName};
use crate::home::{Extent, Home};

/// Characters of a command that are shown.
const COMMAND_WIDTH: usize = 40;

/// Arguments of `lcow ps`.
#[derive(Debug, clap::Args)]
pub(super) struct PsArgs {
    /// Also those that have ended and were kept
    #[arg(short, long)]
    all: bool,
}

/// Lists containers.
pub(super) fn ps(args: &PsArgs) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut table = Table::new(["NAME", "IMAGE", "COMMAND", "CREATED", "STATUS"]);
    let listing = Home::open()?.containers().list()?;
    for error in listing.damaged {
        eprintln!("lcow: {:#}", anyhow::Error::from(error));
    }
    for listed in listing.containers {
        let alive = matches!(listed.condition, Condition::Starting | Condition::Running);
        if alive || args.all {
            let record = listed.record;
            table.row([
                record.name.to_string(),
                record.image,
                command(&record.command),
                age(now.saturating_sub(record.created)),
                condition(listed.condition),
            ]);
        }
    }
    table.print()?;
    Ok(ExitCode::SUCCESS)
}

fn condition(condition: Condition) -> String {
    match condition {
        Condition::Starting => "starting".into(),
        Condition::Running => "running".into(),
        Condition::Exited(status) => format!("exited ({status})"),
        Condition::Dead => "dead (its lcow was killed)".into(),
    }
}

/// A command on one line: no control characters, which could do things to a terminal.
fn command(words: &[String]) -> String {
    let line: Vec<char> = words.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() <= COMMAND_WIDTH {
        return line.into_iter().collect();
    }
    line[..COMMAND_WIDTH - 1].iter().chain(&['…']).collect()
}

/// Arguments of `lcow rm`.
#[derive(Debug, clap::Args)]
pub(super) struct RmArgs {
    /// Names as shown by `lcow ps -a`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<ContainerName>,
}

/// Removes containers and prints the names of those that went. One that cannot be removed does not save the others.
pub(super) fn rm(args: &RmArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let containers = home.containers();
    let mut status = ExitCode::SUCCESS;
    for name in &args.names {
        match containers.remove(name) {
            Ok(()) => print(&format!("{name}\n"))?,
            Err(error) => {
                eprintln!("lcow: {:#}", anyhow::Error::from(error));
                status = ExitCode::from(OWN_FAILURE);
            }
        }
    }
    // Disks whose image has gone may have been kept for these containers alone.
    home.collect_garbage(Extent::ByTheWay)?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_on_one_line() {
        assert_eq!(command(&["sh".into(), "-c".into(), "a\nb\x1b[2J".into()]), "sh -c a b [2J");
        let long = command(&["x".repeat(100)]);
        assert!(long.chars().count() == COMMAND_WIDTH && long.ends_with('…'), "{long}");
    }
}
