//! Words of the kernel command line that every host of a utility VM uses (guest protocol section 14.1).

/// The root is the first disk of the first SCSI controller.
pub const SCSI_ROOT: &str = "root=/dev/sda ro rootwait init=/init";
/// The root is the first persistent memory device.
pub const PMEM_ROOT: &str = "root=/dev/pmem0 ro rootwait init=/init";
/// A console; a panic resets at once, and a reset ends the machine.
pub const CONSOLE: &str = "console=ttyS0,115200 panic=-1 quiet";
/// What need not be looked for.
pub const NO_PROBING: &str = "brd.rd_nr=0 pmtmr=0";

/// What hcsshim passes to `/init` behind `--`; `log_level` is the agent's.
pub fn init_arguments(log_level: &str) -> String {
    format!("-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel {log_level}")
}
