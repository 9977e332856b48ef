//! `uvm-build default`.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use uvm_image::build::{self, KernelSource, Options};
use uvm_image::cache::Cache;
use uvm_image::formats::{Format, Target, write};

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
  always        versions.txt, what they were made of; SHA256SUMS";

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

    /// The guest agent, a static x86-64 program [default: guest-agent beside uvm-build]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,

    /// Put busybox with all its names into the utility VM (needs the package busybox-static)
    #[arg(long)]
    debug: bool,

    #[command(flatten)]
    formats: Formats,
}

/// Options of everything that writes boot files.
#[derive(Debug, Args)]
pub(crate) struct Formats {
    /// What to write; may be given several times [default: lcow and vmlinux]
    #[arg(short = 'f', long = "format", id = "format", value_name = "FORMAT")]
    list: Vec<Format>,

    /// Check every block of rootfs.vhd by hash (dm-verity)
    #[arg(long)]
    verity: bool,

    /// The hypervisor that uvm.vhdx and unified.efi are for, which carry their own kernel command line
    #[arg(long, value_name = "hyper-v|qemu", default_value = "hyper-v")]
    target: Target,

    /// Further words for that command line
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    append: String,

    /// The EFI stub of uvm.vhdx and unified.efi [default: that of the package systemd-boot-efi]
    #[arg(long, value_name = "FILE")]
    efi_stub: Option<PathBuf>,
}

impl Formats {
    fn options(self) -> Result<write::Options> {
        let default = write::Options::default();
        Ok(write::Options {
            formats: if self.list.is_empty() { default.formats } else { self.list.into_iter().collect() },
            verity: self.verity,
            target: self.target,
            append: self.append,
            efi_stub: self.efi_stub.unwrap_or(default.efi_stub),
            mtime: source_date_epoch()?.unwrap_or(default.mtime),
        })
    }
}

/// The time that reproducible builds give to what they make (reproducible-builds.org, `SOURCE_DATE_EPOCH`).
pub(super) fn source_date_epoch() -> Result<Option<u64>> {
    let Some(value) = env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let value = value.to_string_lossy();
    let seconds =
        value.parse().with_context(|| format!("SOURCE_DATE_EPOCH={value}: a number of seconds is wanted"))?;
    Ok(Some(seconds))
}

impl Default {
    pub(crate) fn run(self) -> Result<()> {
        let agent = match self.agent {
            Some(agent) => agent,
            None => env::current_exe()
                .context("cannot find out where uvm-build is")?
                .with_file_name("guest-agent"),
        };
        let options = Options {
            output: self.output,
            kernel: self.kernel,
            agent,
            debug: self.debug,
            write: self.formats.options()?,
        };
        let report = build::default(&options, &Cache::of_user()?)?;
        for warning in &report.warnings {
            eprintln!("uvm-build: warning: {warning}");
        }
        eprint!("{report}");
        Ok(())
    }
}
