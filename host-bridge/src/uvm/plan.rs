//! The boot plan: what a utility VM is started with.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lcow_protocol::boot;

use super::{BootFiles, BootFilesError, command_line};
use crate::vmm::{Accelerator, Boot, Disk, Kernel, MachineConfig, Nic, Peers, Pmem, VmmError};

/// Memory of a utility VM unless another size is asked for, in MiB.
pub const DEFAULT_MEMORY_MIB: u32 = 1024;

/// Time for the first machine to connect unless another is asked for.
const FIRST_TRY: Duration = Duration::from_secs(45);

/// Where the root file system is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Root {
    /// In the initial RAM disk of the boot files.
    #[default]
    Initrd,
    /// On this disk, which becomes LUN 0, read-only.
    Scsi(PathBuf),
    /// On this disk, which becomes LUN 0, read-only and checked by hash; the words for the kernel are in the file of the
    /// same name that ends in `.cmdline`.
    Verity(PathBuf),
    /// On this file as persistent memory device 0, read-only.
    Pmem(PathBuf),
    /// Whatever the boot loader on this disk says; it becomes LUN 0, and firmware starts it.
    EfiDisk(PathBuf),
}

/// What a utility VM is started with.
#[derive(Clone, Debug)]
pub struct BootPlan {
    /// Directory of the boot files; searched for unless given.
    pub boot_files: Option<PathBuf>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// What memory can grow to while the machine runs, in MiB; it cannot unless that is given.
    pub max_memory_mib: Option<u32>,
    /// Virtual processors; as many as suit the accelerator unless given.
    pub cpus: Option<u32>,
    /// Where the root file system is.
    pub root: Root,
    /// UEFI firmware that starts the kernel; without it the monitor does.
    pub firmware: Option<PathBuf>,
    /// Further disks, in order of their LUNs.
    pub disks: Vec<Disk>,
    /// Further persistent memory.
    pub pmem: Vec<Pmem>,
    /// Network adapters.
    pub nics: Vec<Nic>,
    /// Words for the kernel, before `--`.
    pub append: String,
    /// Replaces the arguments of `/init`.
    pub init_args: Option<String>,
    /// The agent's log level.
    pub log_level: String,
    /// How to run the guest's instructions; chosen by what the host has unless given.
    pub accelerator: Option<Accelerator>,
    /// A control socket of the monitor for people.
    pub qmp: Option<PathBuf>,
    /// Time for the guest to boot and connect, all tries together.
    pub connect_timeout: Duration,
    /// Time for the first machine to connect; one that boots at all needs a fraction of it.
    pub first_try: Duration,
}

impl Default for BootPlan {
    fn default() -> Self {
        Self {
            boot_files: None,
            memory_mib: DEFAULT_MEMORY_MIB,
            max_memory_mib: None,
            cpus: None,
            root: Root::Initrd,
            firmware: None,
            disks: Vec::new(),
            pmem: Vec::new(),
            nics: Vec::new(),
            append: String::new(),
            init_args: None,
            log_level: "info".into(),
            accelerator: None,
            qmp: None,
            connect_timeout: super::CONNECT_TIMEOUT,
            first_try: FIRST_TRY,
        }
    }
}

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The boot files.
    #[error(transparent)]
    BootFiles(#[from] BootFilesError),
    /// The boot files have no initial RAM disk, and the root is to be there.
    #[error("the boot files have no initrd.img, and no other root was given")]
    NoInitrd,
    /// A disk cannot start without firmware.
    #[error("only firmware can start a boot loader from a disk, and none was given")]
    NoFirmware,
    /// Firmware needs a kernel that is an EFI program.
    #[error("the boot files have no kernel or bootx64.efi, and firmware cannot start vmlinux")]
    NoEfiKernel,
    /// The words for a root with hashes are missing.
    #[error("cannot read the kernel's words for the root, {}", path.display())]
    Words {
        /// The file that should have them.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The root's file.
    #[error(transparent)]
    Vmm(#[from] VmmError),
}

impl BootPlan {
    /// Turns the plan into a machine.
    pub fn machine(&self, peers: Peers) -> Result<MachineConfig, PlanError> {
        let mut disks = self.disks.clone();
        let mut pmem = self.pmem.clone();
        match &self.root {
            Root::Initrd => {}
            Root::Scsi(path) | Root::Verity(path) | Root::EfiDisk(path) => {
                disks.insert(0, Disk::open(path, true).map_err(VmmError::from)?);
            }
            Root::Pmem(path) => pmem.insert(0, Pmem { path: path.clone(), read_only: true }),
        }
        let accelerator = self.accelerator.unwrap_or_else(Accelerator::best);
        let cpus = self.cpus.unwrap_or_else(|| accelerator.default_cpus());
        Ok(MachineConfig {
            boot: self.boot(accelerator, cpus)?,
            memory_mib: self.memory_mib,
            max_memory_mib: self.max_memory_mib,
            cpus,
            disks,
            pmem,
            nics: self.nics.clone(),
            accelerator,
            peers,
            qmp: self.qmp.clone(),
        })
    }

    fn boot(&self, accelerator: Accelerator, cpus: u32) -> Result<Boot, PlanError> {
        if let Root::EfiDisk(_) = self.root {
            return match &self.firmware {
                Some(firmware) => Ok(Boot::EfiDisk { firmware: firmware.clone() }),
                None => Err(PlanError::NoFirmware),
            };
        }
        let files = BootFiles::find(self.boot_files.as_deref())?;
        let initrd = match self.root {
            Root::Initrd => Some(files.initrd.ok_or(PlanError::NoInitrd)?),
            _ => None,
        };
        // Ours first, so that theirs can take them back.
        let mut append: Vec<&str> = accelerator.kernel_words(cpus);
        append.push(self.append.trim());
        let command_line = command_line::build(
            &self.root_words()?,
            cpus,
            &append.join(" "),
            self.init_args.as_deref(),
            &self.log_level,
        );
        Ok(match &self.firmware {
            None => Boot::Direct(Kernel { image: files.kernel, initrd, command_line }),
            Some(firmware) => Boot::Efi {
                firmware: firmware.clone(),
                kernel: Kernel { image: files.efi.ok_or(PlanError::NoEfiKernel)?, initrd, command_line },
            },
        })
    }

    /// What the kernel is told about its root file system.
    fn root_words(&self) -> Result<String, PlanError> {
        Ok(match &self.root {
            Root::Initrd | Root::EfiDisk(_) => String::new(),
            Root::Scsi(_) => boot::SCSI_ROOT.into(),
            Root::Pmem(_) => boot::PMEM_ROOT.into(),
            Root::Verity(disk) => {
                let path = disk.with_extension("cmdline");
                let text = fs::read_to_string(&path).map_err(|source| PlanError::Words { path, source })?;
                text.trim().to_owned()
            }
        })
    }
}
