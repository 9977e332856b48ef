//! `uvm-build default`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use uvm_image::build::{self, KernelSource, Options};
use uvm_image::cache::Cache;
use uvm_image::formats::{Format, write};
use uvm_image::interrupt::Unfinished;

use super::making::{Making, print};

const EXAMPLE: &str = "\
Examples:
  uvm-build default -o boot
      boot files from the tailored kernel (`uvm-build kernel build`) and the guest-agent beside uvm-build
  uvm-build default -o boot --kernel debian --debug
      from the Debian kernel that `cargo xtask setup` downloaded, with busybox in the utility VM
  uvm-build default -o boot -f lcow -f vmlinux -f rootfs-vhd --verity
      also the root file system on a disk whose every block is checked by hash

Written to the directory, all or nothing:
  lcow          kernel, bootx64.efi (the same bytes), initrd.img
  vmlinux       the ELF kernel, which starts fastest where the VMM can load it (PVH)
  rootfs-vhd    rootfs.vhd, the root on a fixed VHD, and rootfs.cmdline, what the kernel must be told for it;
                a stock host boots from it as soon as it is in its folder
  uvm-vhdx      uvm.vhdx, a whole disk (GPT, EFI system partition, root) that UEFI firmware boots
  unified-efi   unified.efi, kernel, command line and initrd in one EFI program
  always        versions.txt and sbom.spdx.json (SPDX), what they were made of; SHA256SUMS
The directory is one set: what an earlier build has listed in its SHA256SUMS and this one does not make is removed.";

/// Make the product's own boot files: a kernel and the guest agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Default {
    /// Directory for the boot files; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// The kernel: `tailored`, `debian` (the newest package in the cache), `auto` (tailored if it was built, else debian), a
    /// linux-image package, or a directory with a kernel (vmlinuz*, kernel or bzImage), its configuration and its modules
    /// (lib/modules/RELEASE or modules)
    #[arg(long, value_name = "tailored|debian|auto|FILE.deb|DIR", default_value = "tailored")]
    kernel: KernelSource,

    /// Put busybox with all its names into the utility VM (needs the package busybox-static)
    #[arg(long)]
    debug: bool,

    /// What to write; may be given several times [default: lcow and vmlinux]
    #[arg(short = 'f', long = "format", value_name = "FORMAT")]
    formats: Vec<Format>,

    #[command(flatten)]
    making: Making,
}

impl Default {
    pub(crate) fn run(self, unfinished: &Unfinished) -> Result<()> {
        let mut formats: BTreeSet<Format> = self.formats.into_iter().collect();
        if formats.is_empty() {
            formats = write::Options::default().formats;
        }
        let options = Options {
            output: self.output,
            kernel: self.kernel,
            agent: self.making.agent()?,
            sbom: self.making.sbom(),
            progress: self.making.progress(),
            debug: self.debug,
            write: self.making.options(formats)?,
            unfinished: unfinished.clone(),
        };
        let report = build::default(&options, &Cache::of_user()?)?;
        print(&report);
        Ok(())
    }
}
