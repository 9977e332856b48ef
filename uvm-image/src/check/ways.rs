//! Ways to boot what is in a directory.

use std::fmt;
use std::path::Path;

/// One way to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The monitor loads kernel and initrd.
    Direct,
    /// Firmware starts the kernel as an EFI program, with the initrd.
    Efi,
    /// The root is on a SCSI disk.
    ScsiRoot,
    /// The root is in persistent memory.
    PmemRoot,
    /// The root is on a SCSI disk whose blocks are checked by hash.
    VerityRoot,
    /// Firmware boots the whole disk.
    WholeDisk,
}

/// A way, what people call it, and the files it needs.
const WAYS: &[(Way, &str, &[&str])] = &[
    (Way::Direct, "direct boot, initrd", &["initrd.img"]),
    (Way::Efi, "UEFI boot, initrd", &["initrd.img", "bootx64.efi"]),
    (Way::ScsiRoot, "direct boot, root on SCSI", &["rootfs.vhd"]),
    (Way::PmemRoot, "direct boot, root in pmem", &["rootfs.vhd"]),
    (Way::VerityRoot, "direct boot, verity root", &["rootfs.vhd", "rootfs.cmdline"]),
    (Way::WholeDisk, "UEFI boot of uvm.vhdx", &["uvm.vhdx"]),
];

/// The word by which a whole disk for Hyper-V is known: its sockets are not QEMU's.
const HYPER_V_ONLY: &[u8] = b"initcall_blacklist=virtio_vsock_init";

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(WAYS.iter().find(|(way, ..)| way == self).map_or("", |(_, name, _)| name))
    }
}

impl Way {
    /// Whether firmware starts the machine.
    pub fn needs_firmware(self) -> bool {
        matches!(self, Self::Efi | Self::WholeDisk)
    }

    /// The arguments of `lcow uvm boot` for the files in `dir`.
    #[cfg(unix)]
    pub(super) fn arguments(self, dir: &Path) -> Vec<String> {
        let disk = |kind: &str, name: &str| {
            vec!["--root".to_owned(), format!("{kind}:{}", dir.join(name).display())]
        };
        match self {
            Self::Direct | Self::Efi => Vec::new(),
            Self::ScsiRoot => disk("scsi", "rootfs.vhd"),
            Self::PmemRoot => disk("pmem", "rootfs.vhd"),
            Self::VerityRoot => disk("verity", "rootfs.vhd"),
            Self::WholeDisk => disk("efi-disk", "uvm.vhdx"),
        }
    }
}

/// The ways that the files in `dir` offer.
pub(super) fn of(dir: &Path) -> Vec<Way> {
    let has = |name: &str| dir.join(name).is_file();
    let has_kernel = has("kernel") || has("vmlinux");
    let is_verity =
        std::fs::read_to_string(dir.join("rootfs.cmdline")).is_ok_and(|words| words.contains("dm-mod"));
    WAYS.iter()
        .filter(|(way, _, files)| {
            let offers = files.iter().all(|name| has(name));
            let wanted = match way {
                Way::VerityRoot => is_verity,
                Way::ScsiRoot | Way::PmemRoot => !is_verity,
                Way::WholeDisk => !is_for_hyper_v(&dir.join("uvm.vhdx")),
                Way::Direct | Way::Efi => true,
            };
            offers && wanted && (has_kernel || *way == Way::WholeDisk)
        })
        .map(|(way, ..)| *way)
        .collect()
}

fn is_for_hyper_v(disk: &Path) -> bool {
    std::fs::read(disk)
        .is_ok_and(|bytes| bytes.windows(HYPER_V_ONLY.len()).any(|window| window == HYPER_V_ONLY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_files_decide() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(of(dir.path()), []);
        write("kernel", "");
        write("initrd.img", "");
        assert_eq!(of(dir.path()), [Way::Direct]);
        write("rootfs.vhd", "");
        write("bootx64.efi", "");
        assert_eq!(of(dir.path()), [Way::Direct, Way::Efi, Way::ScsiRoot, Way::PmemRoot]);
        write("rootfs.cmdline", "root=/dev/dm-0 dm-mod.create=\"\"");
        assert_eq!(of(dir.path()), [Way::Direct, Way::Efi, Way::VerityRoot]);
        write("uvm.vhdx", "x initcall_blacklist=virtio_vsock_init y");
        assert!(!of(dir.path()).contains(&Way::WholeDisk));
        write("uvm.vhdx", "x");
        assert!(of(dir.path()).contains(&Way::WholeDisk) && Way::WholeDisk.needs_firmware());
    }

    #[test]
    fn every_way_has_a_name() {
        assert_eq!(format!("{:<26}|", Way::PmemRoot), "direct boot, root in pmem |");
        #[cfg(unix)]
        assert!(Way::VerityRoot.arguments(Path::new("/b"))[1].starts_with("verity:/b"));
    }
}
