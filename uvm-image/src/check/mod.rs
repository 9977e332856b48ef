//! `uvm-build check`: boots a directory of boot files in every way that it offers, and says how long each stage took.
//!
//! Virtual machines are `lcow uvm boot`'s business; this is the host on the other side of its sockets.

#[cfg(unix)]
mod boot;
#[cfg(unix)]
mod console;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod host;
mod ways;

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::interrupt::Unfinished;
use crate::kernel;
use crate::kernel::check::{Strictness, check};
use crate::kernel::fragment;
use crate::sums::{self, Fault};

use ways::Plan;
pub use ways::{Program, Root, Way};

/// Why a check cannot be made at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is nothing to check.
    #[error("{} has no boot files: no kernel, unified.efi or uvm.vhdx", .0.display())]
    Nothing(PathBuf),
    /// Nothing of what is there can be tried.
    #[error("nothing in {} can be tried:{}", directory.display(), list(left_out))]
    Untried {
        /// The directory.
        directory: PathBuf,
        /// Files and reasons.
        left_out: Vec<(String, &'static str)>,
    },
    /// There is no directory.
    #[error("cannot read the directory {}", path.display())]
    Directory {
        /// Its name.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Only Linux has what it takes.
    #[error("boot files can be tried only on Linux, with QEMU")]
    NotHere,
}

fn list(left_out: &[(String, &str)]) -> String {
    left_out.iter().fold(String::new(), |list, (name, reason)| format!("{list}\n  {name}: {reason}"))
}

/// What to check and with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory with boot files.
    pub dir: PathBuf,
    /// The `lcow` program.
    pub lcow: PathBuf,
    /// UEFI firmware; ways that need it are left out without.
    pub firmware: Option<PathBuf>,
    /// How long one boot may take.
    pub timeout: Duration,
    /// What goes when the program is ended early.
    pub unfinished: Unfinished,
}

/// Times since the virtual machine was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// `/init` runs and asks for entropy.
    pub init: Duration,
    /// The agent has dialled the bridge.
    pub connected: Duration,
    /// The protocol is negotiated.
    pub negotiated: Duration,
    /// From the request to power off to the machine's end.
    pub power_off: Duration,
}

/// How one way of booting went.
#[derive(Debug)]
pub struct Tried {
    /// The way.
    pub way: Way,
    /// Its stages, or what went wrong, with the console's last lines.
    pub result: Result<Stages, String>,
}

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// Files and their sizes in bytes.
    pub sizes: Vec<(String, u64)>,
    /// Where the files differ from the list of their sums; `None` without one.
    pub faults: Option<Vec<Fault>>,
    /// The same for each list of LinuxKit's outputs, by its name.
    pub native: Vec<(String, Vec<Fault>)>,
    /// What the kernel lacks, a line each.
    pub kernel: Vec<String>,
    /// Every way that the files offer.
    pub tried: Vec<Tried>,
    /// Files and ways that were not tried, and why.
    pub left_out: Vec<(String, &'static str)>,
}

impl Checked {
    /// Whether the files are what was built and everything that was tried works.
    pub fn is_good(&self) -> bool {
        self.faults.as_ref().is_none_or(Vec::is_empty)
            && self.native.iter().all(|(_, faults)| faults.is_empty())
            && !self.tried.is_empty()
            && self.tried.iter().all(|tried| tried.result.is_ok())
    }
}

/// Checks a directory of boot files.
pub fn run(options: &Options) -> Result<Checked, CheckError> {
    if !cfg!(target_os = "linux") {
        return Err(CheckError::NotHere);
    }
    let dir = &options.dir;
    fs::read_dir(dir).map_err(|source| CheckError::Directory { path: dir.clone(), source })?;
    let (faults, native) = (sums::verify(dir), sums::verify_native(dir));
    let found = faults.iter().chain(native.iter().map(|(_, faults)| faults));
    let is_whole = found.flatten().next().is_none();
    let Plan { ways, left_out } = Plan::of(dir, options.firmware.is_some());
    if ways.is_empty() && is_whole {
        if left_out.is_empty() {
            return Err(CheckError::Nothing(dir.clone()));
        }
        return Err(CheckError::Untried { directory: dir.clone(), left_out });
    }
    let tried = ways.into_iter().map(|way| Tried { way, result: try_way(way, options) }).collect();
    Ok(Checked { sizes: sizes(dir), faults, native, kernel: kernel(dir), tried, left_out })
}

#[cfg(unix)]
fn try_way(way: Way, options: &Options) -> Result<Stages, String> {
    boot::boot(way, options).map_err(|error| error.to_string())
}

/// `error` with what is behind it.
fn told(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", told(source)),
        None => error.to_string(),
    }
}

#[cfg(not(unix))]
fn try_way(_: Way, _: &Options) -> Result<Stages, String> {
    Err(CheckError::NotHere.to_string())
}

fn sizes(dir: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut sizes: Vec<(String, u64)> = entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((entry.file_name().to_string_lossy().into_owned(), meta.len()))
        })
        .collect();
    sizes.sort();
    sizes
}

/// What the kernel lacks, if it carries its configuration.
fn kernel(dir: &Path) -> Vec<String> {
    let Some(path) =
        ["kernel", "bootx64.efi", "vmlinux"].iter().map(|name| dir.join(name)).find(|path| path.is_file())
    else {
        return Vec::new();
    };
    match kernel::configuration(&path, dir) {
        Ok(config) => {
            let settings = fragment::tailored();
            check(&config, &settings, Strictness::Any).differences.iter().map(ToString::to_string).collect()
        }
        Err(error) => vec![format!("nobody knows what it lacks: {}", told(&error))],
    }
}
