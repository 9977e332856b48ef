//! What PID 1 and the agent agree on about disks: PID 1 loads their modules and looks for them in the background, and
//! the agent does not touch a disk before that is done.

use std::path::{Path, PathBuf};

/// List of the modules that disks need, beside the modules.
pub(crate) const STORAGE_LIST: &str = "load-storage";
/// There as long as PID 1's child prepares what is not needed to answer the host.
pub(crate) const STORAGE_PENDING: &str = "/run/storage-pending";

/// Where the modules of the running kernel are.
pub(crate) fn directory() -> Option<PathBuf> {
    let release = nix::sys::utsname::uname().ok()?.release().to_owned();
    Some(Path::new("/lib/modules").join(release))
}

/// Whether disks can be used: PID 1's child is ready with them.
pub(crate) fn storage_ready() -> bool {
    !Path::new(STORAGE_PENDING).exists()
}
