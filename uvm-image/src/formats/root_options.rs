//! What a kernel must have built in to mount its root file system without an initrd.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::kernel::config::KernelConfig;

/// For a root on a disk, wherever the disk comes from.
const DISK: &[(&str, &str)] = &[
    ("CONFIG_EXT4_FS", "the file system of rootfs.vhd"),
    ("CONFIG_BLK_DEV_SD", "root=/dev/sda"),
    ("CONFIG_DEVTMPFS", "a read-only root has no devices of its own"),
    ("CONFIG_DEVTMPFS_MOUNT", "/dev/console must exist before init starts"),
];

/// On Hyper-V, where a stock host prefers persistent memory and then SCSI.
const HYPER_V: &[(&str, &str)] = &[
    ("CONFIG_HYPERV_STORAGE", "disks under Hyper-V"),
    ("CONFIG_BLK_DEV_PMEM", "root=/dev/pmem0, which hosts choose first"),
    ("CONFIG_ND_CLAIM", "without it no driver takes persistent memory"),
    ("CONFIG_ACPI_NFIT", "persistent memory as Hyper-V announces it"),
];

/// For a root whose hashes are checked.
const VERITY: &[(&str, &str)] =
    &[("CONFIG_DM_VERITY", "checks the hashes"), ("CONFIG_DM_INIT", "dm-mod.create= on the command line")];

/// For a partition of a disk that firmware boots.
const PARTITION: &[(&str, &str)] =
    &[("CONFIG_EFI_STUB", "firmware starts the kernel"), ("CONFIG_EFI_PARTITION", "root=PARTUUID=")];

/// Why a kernel cannot have its root on a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{output} was asked for, but the kernel {release} cannot boot from it without an initrd:{}", list(.missing))]
pub struct CannotBoot {
    /// The file that was asked for.
    pub output: &'static str,
    /// The kernel's release.
    pub release: String,
    /// What it lacks.
    pub missing: Vec<Missing>,
}

fn list(missing: &[Missing]) -> String {
    missing.iter().fold(String::new(), |list, missing| list + "\n  " + &missing.to_string())
}

/// One option that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The option.
    pub option: &'static str,
    /// Whether it is there as a module, which cannot be loaded without an initrd.
    pub module: bool,
    /// What it is for.
    pub reason: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.module { "is a module" } else { "is not set" };
        write!(f, "{} {state} ({})", self.option, self.reason)
    }
}

/// What `output` asks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The file's name.
    pub output: &'static str,
    /// Whether hashes are checked.
    pub verity: bool,
    /// Whether the root is a partition.
    pub partition: bool,
}

/// What `config` lacks for `wanted`.
pub fn missing(config: &KernelConfig, wanted: Wanted) -> Vec<Missing> {
    let mut tables = vec![DISK, HYPER_V];
    tables.extend(wanted.verity.then_some(VERITY));
    tables.extend(wanted.partition.then_some(PARTITION));
    tables
        .into_iter()
        .flatten()
        .filter(|(option, _)| !config.has(option))
        .map(|&(option, reason)| Missing { option, module: config.value(option) == Some("m"), reason })
        .collect()
}

/// Whether the root disk in `directory` has hashes, and the words for the kernel beside it have it check them.
pub fn has_hashes(directory: &Path) -> bool {
    fs::read_to_string(directory.join("rootfs.cmdline")).is_ok_and(|words| words.contains("dm-mod."))
}

/// Refuses a kernel that could not boot from `wanted`.
pub fn require(config: &KernelConfig, release: &str, wanted: Wanted) -> Result<(), CannotBoot> {
    let missing = missing(config, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    Err(CannotBoot { output: wanted.output, release: release.to_owned(), missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fragment::LCOW_CONFIG;

    const WANTED: Wanted = Wanted { output: "rootfs.vhd", verity: true, partition: true };

    /// The tailored kernel's configuration, with what its options select.
    fn tailored() -> KernelConfig {
        KernelConfig::parse(&format!("{LCOW_CONFIG}\nCONFIG_ND_CLAIM=y\n"))
    }

    #[test]
    fn the_tailored_kernel_can_do_all_of_it() {
        assert_eq!(missing(&tailored(), WANTED), []);
    }

    #[test]
    fn a_module_is_said_to_be_one() {
        let config = tailored().text().replace("CONFIG_BLK_DEV_PMEM=y", "CONFIG_BLK_DEV_PMEM=m");
        let error = require(&KernelConfig::parse(&config), "6.1", WANTED).unwrap_err().to_string();
        assert_eq!(
            error,
            "rootfs.vhd was asked for, but the kernel 6.1 cannot boot from it without an initrd:\n  \
             CONFIG_BLK_DEV_PMEM is a module (root=/dev/pmem0, which hosts choose first)"
        );
        assert!(missing(&KernelConfig::default(), WANTED).len() > 5);
    }
}
