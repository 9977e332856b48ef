//! Words of the kernel command line that every host of a utility VM uses (guest protocol section 14.1).

/// The root is the first disk of the first SCSI controller.
pub const SCSI_ROOT: &str = "root=/dev/sda ro rootwait init=/init";
/// The root is the first persistent memory device.
pub const PMEM_ROOT: &str = "root=/dev/pmem0 ro rootwait init=/init";
/// A console; a panic resets at once, and a reset ends the machine.
pub const CONSOLE: &str = "console=ttyS0,115200 panic=-1 quiet";
/// No disks in memory.
pub const NO_RAM_DISKS: &str = "brd.rd_nr=0";
/// Reading the ACPI timer is slow under Hyper-V, which has better clocks. Under QEMU the kernel measures its processors'
/// timers by it, and needs 0.1 s more without.
pub const NO_PM_TIMER: &str = "pmtmr=0";
/// PID 1 looks for disks, at the one target of each controller that hosts use, instead of the kernel at all 256 before it
/// starts PID 1. Not for a root on a disk. `scsi_mod.scan=async` behind it takes it back.
pub const DISKS_LATER: &str = "scsi_mod.scan=manual";

/// What hcsshim passes to `/init` behind `--`; `log_level` is the agent's.
pub fn init_arguments(log_level: &str) -> String {
    format!("-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel {log_level}")
}
