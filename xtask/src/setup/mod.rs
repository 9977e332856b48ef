//! `cargo xtask setup`: everything that building and testing need. What is missing is found by trying it.

mod apt;
mod kernel;
mod needs;
mod probe;
mod source;
mod windows_target;

use anyhow::{Result, bail};

use crate::places;
use apt::Apt;
use needs::Need;

/// Install what building and testing need, and download the Debian kernel package.
///
/// Finds what is missing by running it. As root on Debian and its derivatives it installs that with apt-get; otherwise it
/// prints the command to run and stops.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Also what only checks need: the Windows cross compiler, veritysetup, mmdebstrap, a registry, UEFI firmware …
    #[arg(long)]
    pub(crate) dev: bool,
}

/// The command: sets this machine up and says so.
pub(crate) fn run(args: &Args) -> Result<()> {
    let changed = ensure(args)?;
    println!("setup: {}", if changed { "done" } else { "everything is there" });
    Ok(())
}

/// Sets this machine up and returns whether there was something to do. Silent and quick when there is not, so that other
/// commands can begin with it; what it does is said on stderr.
pub(crate) fn ensure(args: &Args) -> Result<bool> {
    let cache = places::cache()?;
    let missing = missing(args);
    let kernel_missing = !kernel::is_cached(&cache);
    let rust_missing = args.dev && !windows_target::is_installed();
    if missing.is_empty() && !kernel_missing && !rust_missing {
        return Ok(false);
    }
    let apt = Apt::find();
    if !missing.is_empty() {
        install(apt.as_ref(), &missing)?;
        check_again(args)?;
    }
    if kernel_missing {
        kernel::download(apt.as_ref(), &cache)?;
    }
    if rust_missing {
        windows_target::install();
    }
    Ok(true)
}

/// Gets the tailored kernel's source into the cache; `allow_new` takes one that nobody has tried.
pub(crate) fn kernel_source(allow_new: bool) -> Result<()> {
    let cache = places::cache()?;
    source::ensure(Apt::find().as_ref(), &cache, allow_new)
}

fn missing(args: &Args) -> Vec<&'static Need> {
    probe::missing(needs::NEEDS.iter().filter(|need| args.dev || !need.dev))
}

fn install(apt: Option<&Apt>, missing: &[&Need]) -> Result<()> {
    for need in missing {
        eprintln!("setup: missing: {} ({})", need.what, need.reason);
    }
    let Some(apt) = apt else {
        let names: Vec<_> = missing.iter().map(|need| need.what).collect();
        bail!(
            "this system has no apt-get; install these with its own package manager, then run `cargo xtask setup` again: {}",
            names.join(", ")
        );
    };
    let packages = needs::packages(missing);
    if !apt.is_root() {
        bail!("run this as root, then `cargo xtask setup` again:\n\n    {}\n", apt::command_line(&packages));
    }
    apt::update()?;
    apt::install(&packages)
}

fn check_again(args: &Args) -> Result<()> {
    let still: Vec<_> = missing(args)
        .iter()
        .map(|need| format!("{} (from {})", need.what, need.packages.join(" ")))
        .collect();
    if !still.is_empty() {
        bail!("the packages are installed, yet these still do not work: {}", still.join(", "));
    }
    Ok(())
}
