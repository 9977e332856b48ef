//! Options of LinuxKit's own tool that `uvm-build` does not have, each with the reason.

use anyhow::{Result, bail};
use clap::Args;

/// Options that are known only to be refused.
#[derive(Debug, Args)]
pub(super) struct Foreign {
    #[arg(long, hide = true, value_name = "FILE")]
    input_tar: Option<String>,
    #[arg(long, hide = true)]
    docker: bool,
    #[arg(long, hide = true, value_name = "SIZE")]
    size: Option<String>,
    #[arg(long = "o", hide = true, value_name = "FILE")]
    single: Option<String>,
    #[arg(long, hide = true, value_name = "FILE")]
    sbom_output: Option<String>,
    #[arg(long, hide = true)]
    sbom_current_time: bool,
}

impl Foreign {
    /// An error that names the first one given.
    pub(super) fn refuse(&self) -> Result<()> {
        let all = [
            (
                "--input-tar",
                self.input_tar.is_some(),
                "every build unpacks its images anew, which takes a second or two",
            ),
            ("--docker", self.docker, "no Docker is asked; --cache takes what `docker save` writes"),
            ("--size", self.size.is_some(), "disks are as large as what is in them"),
            (
                "--o",
                self.single.is_some(),
                "-o DIR names the directory of the outputs, --name how their names begin",
            ),
            (
                "--sbom-output",
                self.sbom_output.is_some(),
                "it is sbom.spdx.json, in the root and beside the boot files",
            ),
            ("--sbom-current-time", self.sbom_current_time, "equal inputs give equal bytes"),
        ];
        match all.iter().find(|(_, given, _)| *given) {
            Some((name, _, reason)) => bail!("{name} is LinuxKit's, uvm-build does without: {reason}"),
            None => Ok(()),
        }
    }
}
