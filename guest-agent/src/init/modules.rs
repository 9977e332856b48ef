//! Loads kernel modules (spec section 14.3, step 11).
//!
//! `uvm-build` has worked out what is needed, with all dependencies, and in which order; the lists stand beside
//! the modules, one path a line. A kernel with everything built in has no lists, and nothing is done.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use super::kmsg::Kmsg;
use crate::sys;

/// When a module is loaded.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// Before the agent runs: without these the host cannot be reached or a layer not be mounted.
    Boot,
    /// While the agent runs.
    Later,
}

impl Stage {
    /// The list's name; Hyper-V has drivers of its own.
    fn list(self) -> &'static str {
        match (self, sys::is_hyper_v()) {
            (Self::Boot, false) => "load-order",
            (Self::Boot, true) => "load-order.hyperv",
            (Self::Later, false) => "load-later",
            (Self::Later, true) => "load-later.hyperv",
        }
    }
}

/// Loads the modules of one stage. Failures go to the kernel log: a module may be for other hardware.
pub(super) fn load(stage: Stage, kmsg: &Kmsg) {
    let Some(directory) = directory() else { return };
    let Ok(list) = fs::read_to_string(directory.join(stage.list())) else { return };
    for name in list.lines().filter(|line| !line.is_empty()) {
        if let Err(error) = load_one(&directory.join(name)) {
            kmsg.warning(&format!("init: loading {name}: {error}"));
        }
    }
}

fn directory() -> Option<PathBuf> {
    let release = nix::sys::utsname::uname().ok()?.release().to_owned();
    Some(Path::new("/lib/modules").join(release))
}

fn load_one(path: &Path) -> Result<(), std::io::Error> {
    let no_parameters: &CStr = c"";
    let file = File::open(path)?;
    match finit_module(&file, no_parameters, ModuleInitFlags::empty()) {
        // EEXIST: loaded on demand meanwhile. ENODEV: no such hardware in this machine.
        Ok(()) | Err(Errno::EEXIST | Errno::ENODEV) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
