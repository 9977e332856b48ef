//! Loads kernel modules (spec section 14.3, step 11).
//!
//! `uvm-build` has worked out what is needed, with all dependencies, and in which order; the lists stand beside
//! the modules, one path a line. A kernel with everything built in has no lists, and nothing is done.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use super::kmsg::Kmsg;
use crate::{boot_disks, sys};

/// When a module is loaded.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// Before the agent runs: without these it cannot reach the host.
    Connect,
    /// First thing in the background: no disk can be mounted before.
    Storage,
    /// In the background, after that.
    Later,
}

impl Stage {
    fn list(self) -> &'static str {
        match self {
            Self::Connect => "load-connect",
            Self::Storage => boot_disks::STORAGE_LIST,
            Self::Later => "load-later",
        }
    }
}

/// Loads the modules of one stage. Failures go to the kernel log: a module may be for other hardware.
pub(super) fn load(stage: Stage, kmsg: &Kmsg) {
    let Some(directory) = boot_disks::directory() else { return };
    // Hyper-V has drivers of its own.
    let suffix = if sys::is_hyper_v() { ".hyperv" } else { "" };
    let list = fs::read_to_string(directory.join(format!("{}{suffix}", stage.list()))).unwrap_or_default();
    for name in list.lines().filter(|line| !line.is_empty()) {
        if let Err(error) = load_one(&directory.join(name)) {
            kmsg.warning(&format!("init: loading {name}: {error}"));
        }
    }
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
