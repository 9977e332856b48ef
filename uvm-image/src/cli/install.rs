//! `uvm-build install`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use uvm_image::install::{self, Mode};
use uvm_image::interrupt::Unfinished;

/// Copy boot files to a host's folder, under every name that some generation of hosts looks for.
///
/// On Windows the folder is `C:\Program Files\Linux Containers`. rootfs.vhd goes there only if the kernel can boot from it,
/// because hosts prefer it as soon as it is there.
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
        for (name, bytes, who) in &installed.files {
            println!("{name:<14} {:>6}.{} MB  for {who}", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
        }
        for missing in &installed.left_out {
            eprintln!(
                "uvm-build: warning: rootfs.vhd is left out, this kernel cannot boot from it: {missing}"
            );
        }
        println!(
            "{}",
            match installed.mode {
                Mode::Initrd => "A stock host boots from initrd.img.",
                Mode::RootfsVhd =>
                    "A stock host boots from rootfs.vhd; the annotation io.microsoft.virtualmachine.lcow.preferredrootfstype=initrd makes it take initrd.img.",
            }
        );
        Ok(())
    }
}
