//! `uvm-build default`.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use uvm_image::build::{self, KernelSource, Options};
use uvm_image::cache::Cache;

const EXAMPLE: &str = "\
Examples:
  uvm-build default -o boot
      boot files from the Debian kernel that `cargo xtask setup` downloaded and the guest-agent beside uvm-build
  uvm-build default -o boot --kernel linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb --debug
      from this package, with busybox in the utility VM

Written to the directory, all or nothing:
  kernel, bootx64.efi   the kernel for direct and for UEFI boot (the same bytes)
  vmlinux               the ELF kernel from inside it, which starts fastest where the VMM can load it (PVH)
  initrd.img            the guest agent and the kernel modules that a utility VM needs
  versions.txt          what they were made of";

/// Boot files from a distribution's kernel and the guest agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Default {
    /// Directory for the boot files; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// The kernel: `debian` (the newest package in the cache), a linux-image package, or a directory with a kernel
    /// (vmlinuz*, kernel or bzImage), its configuration and its modules (lib/modules/RELEASE or modules)
    #[arg(long, value_name = "debian|FILE.deb|DIR", default_value = "debian")]
    kernel: KernelSource,

    /// The guest agent, a static x86-64 program [default: guest-agent beside uvm-build]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,

    /// Put busybox with all its names into the utility VM (needs the package busybox-static)
    #[arg(long)]
    debug: bool,
}

impl Default {
    pub(crate) fn run(self) -> Result<()> {
        let agent = match self.agent {
            Some(agent) => agent,
            None => env::current_exe()
                .context("cannot find out where uvm-build is")?
                .with_file_name("guest-agent"),
        };
        let options = Options { output: self.output, kernel: self.kernel, agent, debug: self.debug };
        let report = build::default(&options, &Cache::of_user()?)?;
        for warning in &report.warnings {
            eprintln!("uvm-build: warning: {warning}");
        }
        eprint!("{report}");
        Ok(())
    }
}
