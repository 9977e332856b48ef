//! `lcow import`.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

use anyhow::{Context, bail};
use lcow_oci::Reference;
use lcow_oci::load::{self, About};
use lcow_oci::model::RunConfig;

use super::time;
use crate::cli::table::print;
use crate::home::Home;

const EXAMPLES: &str = "\
Examples:
  mmdebstrap --variant=minbase bookworm root.tar && lcow import root.tar debian:mine
  tar -C root -c . | lcow import -c 'CMD [\"/bin/sh\"]' -c 'ENV MODE=fast' - me/app:1

Changes: CMD, ENTRYPOINT, ENV, LABEL, STOPSIGNAL, USER, WORKDIR, as in a Dockerfile.";

/// Arguments of `lcow import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ImportArgs {
    /// A line of a Dockerfile about how the image is run
    #[arg(short, long = "change", value_name = "LINE")]
    changes: Vec<String>,
    /// A remark for its history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// A tar archive of a root file system, packed with gzip or zstd or not at all; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// A name for the image
    #[arg(value_name = "NAME")]
    name: Reference,
}

/// Makes an image of a root file system and prints its digest.
pub(in crate::cli) fn import(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let mut run = RunConfig::default();
    for line in &args.changes {
        change(&mut run, line)?;
    }
    let store = Home::open()?.store()?;
    let tar: Box<dyn Read> = if args.file == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("cannot open {}", args.file))?)
    };
    let about = About { run, created: Some(time::now()), origin: args.file, comment: args.message };
    let digest = load::import(&store, tar, &args.name, about)?;
    print(&format!("{digest}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Applies a line of a Dockerfile.
fn change(run: &mut RunConfig, line: &str) -> anyhow::Result<()> {
    let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    let rest = rest.trim();
    match word.to_ascii_uppercase().as_str() {
        "CMD" => run.cmd = command(rest)?,
        "ENTRYPOINT" => run.entrypoint = command(rest)?,
        "ENV" => {
            let (name, value) = pair(rest)?;
            run.env.retain(|old| old.split('=').next() != Some(&name));
            run.env.push(format!("{name}={value}"));
        }
        "LABEL" => run.labels.extend([pair(rest)?]),
        "STOPSIGNAL" => run.stop_signal = Some(rest.to_owned()),
        "USER" => rest.clone_into(&mut run.user),
        "WORKDIR" => rest.clone_into(&mut run.working_dir),
        _ => bail!("{word:?} cannot be changed; see `lcow import --help`"),
    }
    Ok(())
}

/// A list in JSON, or a line for the shell.
fn command(text: &str) -> anyhow::Result<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).with_context(|| format!("{text} is no list of words"));
    }
    Ok(vec!["/bin/sh".into(), "-c".into(), text.into()])
}

fn pair(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once('=').with_context(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.trim_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_dockerfile_are_applied() {
        let mut run = RunConfig::default();
        for line in
            ["CMD [\"a\", \"b c\"]", "entrypoint echo x", "ENV A=1", "ENV A=\"2 3\"", "WORKDIR /x", "USER me"]
        {
            change(&mut run, line).expect(line);
        }
        assert_eq!(run.cmd, ["a", "b c"]);
        assert_eq!(run.entrypoint, ["/bin/sh", "-c", "echo x"]);
        assert_eq!(run.env, ["A=2 3"]);
        assert_eq!((run.working_dir.as_str(), run.user.as_str()), ("/x", "me"));
        for bad in ["RUN x", "CMD [1]", "ENV A"] {
            assert!(change(&mut run, bad).is_err(), "{bad}");
        }
    }
}
