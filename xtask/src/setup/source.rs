//! The source of the tailored kernel in the cache: a Debian package, downloaded and never installed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::apt::Apt;
use super::kernel::fetch;
use crate::places;
use crate::process::{command, output};

/// The list of sources that the tailored kernel was tried with, below the workspace.
const SOURCES: &str = "uvm-image/kernel/sources.toml";

#[derive(Debug, Deserialize)]
struct Sources {
    source: Vec<Source>,
}

/// A known source; what else the list says of it is for `uvm-build`.
#[derive(Debug, Deserialize)]
struct Source {
    package: String,
    version: String,
}

/// Puts a source into `cache` unless one that will do is there: the best known one that is on offer, or with `allow_new`
/// the newest one of the same name.
pub(super) fn ensure(apt: Option<&Apt>, cache: &Path, allow_new: bool) -> Result<()> {
    let path = places::workspace().join(SOURCES);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let known =
        toml::from_str::<Sources>(&text).with_context(|| format!("cannot read {}", path.display()))?.source;
    let is_there =
        |source: &Source| cache.join(format!("{}_{}_all.deb", source.package, source.version)).is_file();
    if known.iter().any(is_there) {
        return Ok(());
    }
    let Some(apt) = apt else { bail!("this system has no apt-get to download a kernel source with") };
    for source in &known {
        let policy = output(command("apt-cache").args(["policy", &source.package])).unwrap_or_default();
        if offers(&policy, &source.version) {
            let package = format!("{}={}", source.package, source.version);
            eprintln!("setup: downloading the kernel source {package}");
            return fetch(apt, &package, cache, is_source_file);
        }
    }
    let names: Vec<_> = known.iter().map(|source| format!("{} {}", source.package, source.version)).collect();
    let Some(package) = known.first().filter(|_| allow_new).map(|source| &source.package) else {
        bail!(
            "Debian offers none of the kernel sources that were tried ({}); `cargo xtask kernel --allow-new` builds the newest one",
            names.join(", ")
        );
    };
    eprintln!("setup: downloading the newest {package}, which nobody has tried");
    fetch(apt, package, cache, is_source_file)
}

/// Whether the table of `apt-cache policy` has `version`.
fn offers(policy: &str, version: &str) -> bool {
    policy.lines().any(|line| line.trim_start_matches([' ', '*']).split(' ').next() == Some(version))
}

fn is_source_file(name: &str) -> bool {
    name.starts_with("linux-source-") && name.ends_with("_all.deb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_of_uvm_build() {
        let text = fs::read_to_string(places::workspace().join(SOURCES)).unwrap();
        let sources = toml::from_str::<Sources>(&text).unwrap().source;
        assert!(sources.iter().all(|source| source.package.starts_with("linux-source-")));
    }

    #[test]
    fn finds_a_version_in_the_table() {
        let policy = "linux-source-6.12:\n  Installed: (none)\n  Candidate: 6.12.9-2\n  Version table:\n     6.12.9-2 500\n        500 mirror\n *** 6.12.9-1 100\n";
        assert!(offers(policy, "6.12.9-1") && offers(policy, "6.12.9-2"));
        assert!(!offers(policy, "6.12.9"));
    }
}
