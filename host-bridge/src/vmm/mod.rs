//! Virtual machine monitors behind one seam: QEMU on Linux, HCS on Windows.

mod accelerator;
pub mod config;
mod console;
pub mod disk;

#[cfg(not(target_os = "linux"))]
mod hcs;
#[cfg(target_os = "linux")]
mod qemu;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;

pub use accelerator::Accelerator;
pub use config::{Boot, Kernel, Lun, MacAddress, MachineConfig, Nic, Peers, Pmem};
pub use console::Console;
pub use disk::{Disk, DiskError};

/// The monitor of this system.
#[cfg(target_os = "linux")]
pub type Machine = qemu::Qemu;
/// The monitor of this system.
#[cfg(not(target_os = "linux"))]
pub type Machine = hcs::Hcs;

/// One running virtual machine.
pub trait Vmm: Sized + Send + Sync + 'static {
    /// Creates and starts a machine. Dropping it ends the machine at once.
    fn start(config: MachineConfig) -> impl Future<Output = Result<Self, VmmError>> + Send;

    /// Plugs a disk into SCSI controller 0.
    fn attach_disk(&self, lun: Lun, disk: &Disk) -> impl Future<Output = Result<(), VmmError>> + Send;

    /// Pulls a disk. The guest must have let go of it before.
    fn detach_disk(&self, lun: Lun) -> impl Future<Output = Result<(), VmmError>> + Send;

    /// Plugs further memory, in MiB: a multiple of 128, within what the configuration allows. The guest takes it into use a
    /// moment later.
    fn add_memory(&self, mib: u32) -> impl Future<Output = Result<(), VmmError>> + Send;

    /// The console's output.
    fn console(&self) -> &Console;

    /// Ends the machine, writing back what the monitor still holds for its disks.
    fn stop(&self) -> impl Future<Output = ()> + Send;

    /// Ends the machine at once, whatever its disks lack, and waits until it has let go of its files.
    fn kill(&self) -> impl Future<Output = ()> + Send;

    /// Waits for the machine's end.
    fn ended(&self) -> impl Future<Output = Exit> + Send;
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest powered it off.
    PoweredOff,
    /// The guest asked for a reset, which ends a utility VM. A kernel panic does, too (`panic=-1`).
    Reset,
    /// We ended it.
    Stopped,
    /// The monitor failed.
    Failed {
        /// What it said, and how it ended.
        reason: String,
    },
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoweredOff => f.write_str("the guest powered off"),
            Self::Reset => f.write_str("the guest reset or panicked"),
            Self::Stopped => f.write_str("it was stopped"),
            Self::Failed { reason } => f.write_str(reason),
        }
    }
}

/// What can go wrong with a machine.
#[derive(Debug, thiserror::Error)]
pub enum VmmError {
    /// The monitor could not be run.
    #[error("cannot run {program}{hint}")]
    Spawn {
        /// The program.
        program: String,
        /// What would help, if known.
        hint: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The monitor ended before the machine ran.
    #[error("the virtual machine did not start: {reason}")]
    NotStarted {
        /// What it said.
        reason: String,
    },
    /// A file of the machine cannot be used.
    #[error("cannot use {what} {}", path.display())]
    File {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A disk cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An operation of the monitor failed.
    #[error("cannot {operation}: {reason}")]
    Refused {
        /// What was tried.
        operation: String,
        /// The monitor's words.
        reason: String,
    },
    /// The operating system refused a resource.
    #[error("cannot {operation}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
    /// There is no monitor for this system.
    #[error("no virtual machine monitor: {missing}")]
    Unavailable {
        /// What would have to be there.
        missing: &'static str,
    },
}
