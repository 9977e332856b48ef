//! Makes disks usable in the background: loads their modules, and looks for them when the kernel was told not to
//! (`scsi_mod.scan=manual`).
//!
//! Hosts attach disks as units of target 0 (spec section 6.1). The kernel would ask all 256 targets of a virtio
//! controller, and start PID 1 only after that.

use std::fs::{self, File};

use super::kmsg::Kmsg;
use super::modules::{self, Stage};
use crate::boot_disks;

const CONTROLLERS: &str = "/sys/class/scsi_host";
/// Channel 0, target 0, all units.
const WHERE: &str = "0 0 -";
/// How the kernel looks for disks, and for what is plugged in later.
const SCAN: &str = "/sys/module/scsi_mod/parameters/scan";

/// Work for disks that is left to PID 1.
pub(super) struct Pending {
    /// The kernel has not looked for disks.
    scan: bool,
}

impl Pending {
    /// Tells the agent to wait.
    pub(super) fn announce(kmsg: &Kmsg) -> Self {
        let scan = fs::read_to_string(SCAN).is_ok_and(|how| how.trim() == "manual");
        if let Err(error) = File::create(boot_disks::STORAGE_PENDING) {
            kmsg.warning(&format!("init: creating {}: {error}", boot_disks::STORAGE_PENDING));
        }
        Self { scan }
    }

    /// Does it. Failures go to the kernel log: whoever misses a disk says which.
    pub(super) fn work_off(&self, kmsg: &Kmsg) {
        modules::load(Stage::Storage, kmsg);
        if self.scan {
            scan(kmsg);
        }
        // Missing if it could not be created.
        let _ = fs::remove_file(boot_disks::STORAGE_PENDING);
    }
}

fn scan(kmsg: &Kmsg) {
    // First, for the kernel drops the news of a unit 0 that is plugged in as long as it is not to look by itself.
    if let Err(error) = fs::write(SCAN, "sync") {
        kmsg.warning(&format!("init: writing {SCAN}: {error}"));
    }
    for controller in fs::read_dir(CONTROLLERS).into_iter().flatten().flatten() {
        let path = controller.path().join("scan");
        if let Err(error) = fs::write(&path, WHERE) {
            kmsg.warning(&format!("init: looking for disks with {}: {error}", path.display()));
        }
    }
}
