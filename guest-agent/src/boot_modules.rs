//! What PID 1 and the agent agree on about kernel modules: PID 1 loads those for disks in the background, and the
//! agent does not touch a disk before they are there.

use std::path::{Path, PathBuf};

/// List of the modules that disks need, beside the modules.
pub(crate) const STORAGE_LIST: &str = "load-storage";
/// Appears when they have been loaded.
pub(crate) const STORAGE_READY: &str = "/run/storage-modules-loaded";

/// Where the modules of the running kernel are.
pub(crate) fn directory() -> Option<PathBuf> {
    let release = nix::sys::utsname::uname().ok()?.release().to_owned();
    Some(Path::new("/lib/modules").join(release))
}

/// Whether disks can be used: their modules are loaded, or the kernel needs none.
pub(crate) fn storage_ready() -> bool {
    Path::new(STORAGE_READY).exists() || directory().is_none_or(|path| !path.join(STORAGE_LIST).exists())
}
