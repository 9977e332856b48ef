//! Debian's package manager.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::needs::QEMU;
use crate::process::{command, output, run, succeeds};

/// A working apt-get.
pub(super) struct Apt {
    root: bool,
}

impl Apt {
    /// The system's apt-get, if it has one.
    pub(super) fn find() -> Option<Self> {
        let root = || output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
        succeeds(command("apt-get").arg("--version")).then(|| Self { root: root() })
    }

    /// Whether it may install.
    pub(super) fn is_root(&self) -> bool {
        self.root
    }

    /// Downloads the package file of `package` into `dir`; needs no root.
    pub(super) fn download(&self, package: &str, dir: &Path) -> Result<()> {
        let mut get = apt_get();
        if self.root {
            // apt's own user cannot write into our directories, about which it would complain.
            get.args(["-o", "APT::Sandbox::User=root"]);
        }
        run(get.args(["download", package]).current_dir(dir))
            .with_context(|| format!("cannot download the package {package}"))
    }
}

/// Fetches the lists of packages.
pub(super) fn update() -> Result<()> {
    run(apt_get().arg("update")).context("cannot fetch the package lists; is the network there?")
}

/// Installs `packages` without what they merely recommend.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let words = pin_qemu(packages, policy);
    run(apt_get().args(["-y", "--no-install-recommends", "--allow-downgrades", "install"]).args(words))
        .context("cannot install what is missing")
}

fn apt_get() -> Command {
    let mut get = command("apt-get");
    // Quiet but for errors, and without questions.
    get.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-o", "Dpkg::Use-Pty=0"]);
    get
}

/// The command for people who must become root first.
pub(super) fn command_line(packages: &[&str]) -> String {
    let words = pin_qemu(packages, policy).join(" ");
    format!("apt-get update && apt-get install -y --no-install-recommends --allow-downgrades {words}")
}

/// What apt knows of the versions of `package`.
fn policy(package: &str) -> Option<String> {
    output(command("apt-cache").args(["policy", package])).ok()
}

/// `packages` for apt-get's command line, those of QEMU with one version; `policy` is what `apt-cache policy` says.
fn pin_qemu(packages: &[&str], policy: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let wanted = policy(QEMU[0]).and_then(|text| candidate(&text));
    packages
        .iter()
        .map(|package| {
            let version = wanted
                .as_ref()
                .filter(|_| QEMU.contains(package))
                .and_then(|wanted| matching_version(&policy(package)?, wanted));
            version.map_or_else(|| (*package).to_owned(), |version| format!("{package}={version}"))
        })
        .collect()
}

fn candidate(policy: &str) -> Option<String> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}

/// The version of `policy`'s table that equals `wanted`, but for the number of the rebuild (`+b1`).
fn matching_version(policy: &str, wanted: &str) -> Option<String> {
    let source = |version: &str| match version.rsplit_once("+b") {
        Some((base, rebuild)) if rebuild.bytes().all(|b| b.is_ascii_digit()) => base.to_owned(),
        _ => version.to_owned(),
    };
    let table = policy.lines().skip_while(|line| !line.contains("Version table:")).skip(1);
    let versions: Vec<&str> = table
        .filter_map(|line| match line.trim_start_matches("***").split_whitespace().collect::<Vec<_>>()[..] {
            ["***", version, _] | [version, _] if !version.contains('/') => Some(version),
            _ => None,
        })
        .collect();
    let found = versions.iter().find(|version| **version == wanted);
    let found = found.or_else(|| versions.iter().find(|version| source(version) == source(wanted)));
    found.map(|version| (*version).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: &str = "qemu-system-x86:
  Installed: (none)
  Candidate: 1:7.2+dfsg-7+deb12u18+b3
  Version table:
     1:7.2+dfsg-7+deb12u18+b3 500
        500 https://mirror.example/debian bookworm/main amd64 Packages
";
    const UTILS: &str = "qemu-utils:
  Installed: 1:10.0.2+ds-2~bpo12+1
  Candidate: 1:10.0.2+ds-2~bpo12+1
  Version table:
 *** 1:10.0.2+ds-2~bpo12+1 100
        100 https://mirror.example/debian bookworm-backports/main amd64 Packages
        100 /var/lib/dpkg/status
     1:7.2+dfsg-7+deb12u18+b1 500
        500 https://mirror.example/debian bookworm/main amd64 Packages
";

    #[test]
    fn qemu_comes_from_one_release() {
        let policy = |package: &str| match package {
            "qemu-system-x86" => Some(SYSTEM.to_owned()),
            "qemu-utils" => Some(UTILS.to_owned()),
            _ => None,
        };
        assert_eq!(
            pin_qemu(&["make", "qemu-block-extra", "qemu-system-x86", "qemu-utils"], policy),
            [
                "make",
                "qemu-block-extra",
                "qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3",
                "qemu-utils=1:7.2+dfsg-7+deb12u18+b1",
            ]
        );
        assert_eq!(pin_qemu(&["qemu-utils"], |_| None), ["qemu-utils"]);
    }

    #[test]
    fn no_candidate_means_no_version() {
        assert_eq!(candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(SYSTEM).as_deref(), Some("1:7.2+dfsg-7+deb12u18+b3"));
    }
}
