//! `uvm-build install`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use uvm_image::install::{self, Mode};
use uvm_image::interrupt::Unfinished;

use super::output::{say, tell};

/// Copy boot files to a host's folder, under every name that some generation of hosts looks for.
///
/// On Windows the folder is `C:\Program Files\Linux Containers`. rootfs.vhd goes there only if the kernel can boot from it,
/// because hosts prefer it as soon as it is there.
///
/// Only one whole set is installed: where DIR has SHA256SUMS, files that differ from it or are missing are refused, and so are
/// boot files that it does not list, for another build has left them (remove them, or build again). Boot files that DEST has and
/// this set does not bring are removed: a host would take an old vmlinux with the new initrd.img.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// The directory that `uvm-build` wrote
    dir: PathBuf,

    /// The host's folder; made if it is not there
    #[arg(long, value_name = "DEST")]
    to: PathBuf,
}

impl Install {
    pub(crate) fn run(self, unfinished: &Unfinished) -> Result<()> {
        let installed = install::install(&self.dir, &self.to, unfinished)?;
        if !installed.verified {
            tell(format_args!(
                "warning: {} has no SHA256SUMS: nobody knows whether the files belong together",
                self.dir.display()
            ));
        }
        if let Some(reason) = &installed.left_out {
            tell(format_args!("warning: rootfs.vhd is left out: {reason}"));
        }
        if installed.verity {
            tell(
                "warning: stock hosts boot with root=/dev/pmem0 or root=/dev/sda, not with the words in rootfs.cmdline, so \
                 their kernel does not check the hashes of rootfs.vhd",
            );
        }
        say(|out| {
            for (name, bytes, who) in &installed.files {
                writeln!(
                    out,
                    "{name:<14} {:>6}.{} MB  for {who}",
                    bytes / 1_000_000,
                    bytes % 1_000_000 / 100_000
                )?;
            }
            for name in &installed.removed {
                writeln!(out, "{name:<14} removed: it was there from an earlier set, and this one has none")?;
            }
            writeln!(
                out,
                "{}",
                match installed.mode {
                    Mode::Initrd => "A stock host boots from initrd.img.",
                    Mode::RootfsVhd =>
                        "A stock host boots from rootfs.vhd; the annotation io.microsoft.virtualmachine.lcow.preferredrootfstype=initrd makes it take initrd.img.",
                }
            )
        })
    }
}
