//! What a machine is made of.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::transport::Transport;
use crate::vmm::{Accelerator, Disk};

/// Disks on one SCSI controller, as on Hyper-V.
pub const LUNS: u8 = 64;

/// Everything that is decided before a machine starts.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// What is started and by whom.
    pub boot: Boot,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// What memory can grow to while the machine runs, in MiB; `None` or less than it has is no growth.
    pub max_memory_mib: Option<u32>,
    /// Virtual processors.
    pub cpus: u32,
    /// Disks on SCSI controller 0 at LUN 0, 1, 2…
    pub disks: Vec<Disk>,
    /// Persistent memory devices, in order.
    pub pmem: Vec<Pmem>,
    /// Network adapters, in order.
    pub nics: Vec<Nic>,
    /// How to run the guest's instructions.
    pub accelerator: Accelerator,
    /// Who answers the guest's dials.
    pub peers: Peers,
    /// A further control socket for people, at this path.
    pub qmp: Option<PathBuf>,
}

/// What is started, and by whom.
#[derive(Clone, Debug)]
pub enum Boot {
    /// The monitor loads the kernel and starts it.
    Direct(Kernel),
    /// UEFI firmware starts the kernel as an EFI program, and gives it command line and initial RAM disk.
    Efi {
        /// The firmware's file.
        firmware: PathBuf,
        /// The kernel, a bzImage with an EFI stub.
        kernel: Kernel,
    },
    /// UEFI firmware starts what it finds on the disk at LUN 0, in its EFI system partition.
    EfiDisk {
        /// The firmware's file.
        firmware: PathBuf,
    },
}

/// A kernel with all it gets.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `vmlinux` or a bzImage.
    pub image: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// The kernel command line.
    pub command_line: String,
}

/// Who answers the guest's dials.
#[derive(Clone, Debug)]
pub enum Peers {
    /// Listeners in this process.
    Listeners(Transport),
    /// The Unix socket `PATH_P` for port P; nothing is created at PATH itself.
    UnixSockets(PathBuf),
}

/// A logical unit on SCSI controller 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lun(u8);

impl Lun {
    /// `None` beyond the controller's 64 units.
    pub fn new(lun: usize) -> Option<Self> {
        u8::try_from(lun).ok().filter(|&lun| lun < LUNS).map(Self)
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A persistent memory device backed by a file.
#[derive(Clone, Debug)]
pub struct Pmem {
    /// The file.
    pub path: PathBuf,
    /// Whether the guest's writes are refused.
    pub read_only: bool,
}

/// A network adapter in user mode: outgoing connections only.
#[derive(Clone, Copy, Debug)]
pub struct Nic {
    /// Its address.
    pub mac: MacAddress,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress([u8; 6]);

/// Text that is no Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no MAC address of one adapter: six hexadecimal bytes with ':' or '-' between them, the first even"
)]
pub struct BadMac(String);

impl MacAddress {
    /// The address of adapter `index` unless another is given: 00:15:5d:00:00:0i, in Hyper-V's range.
    pub fn default_for(index: u8) -> Self {
        Self([0x00, 0x15, 0x5d, 0x00, 0x00, index])
    }
}

impl FromStr for MacAddress {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(text.to_owned());
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(bad)?, 16).map_err(|_| bad())?;
        }
        // The lowest bit of the first byte marks a group of adapters; no adapter has such an address.
        if parts.next().is_some() || bytes[0] & 1 != 0 || bytes == [0; 6] {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0[0])?;
        self.0[1..].iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_an_address_are_read() {
        let expected = MacAddress([0, 0x15, 0x5d, 0xab, 0xcd, 0xef]);
        assert_eq!("00:15:5d:ab:CD:ef".parse(), Ok(expected));
        assert_eq!("00-15-5D-AB-CD-EF".parse(), Ok(expected));
        assert_eq!(expected.to_string(), "00:15:5d:ab:cd:ef");
        assert_eq!(MacAddress::default_for(3).to_string(), "00:15:5d:00:00:03");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "00:15:5d:00:00",
            "00:15:5d:00:00:00:01",
            "00:15:5d:00:00:0",
            "00:15-5d:00:00:01",
            "+0:15:5d:00:00:01",
            "01:15:5d:00:00:01",
            "00:00:00:00:00:00",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_controller_has_64_units() {
        assert_eq!(Lun::new(63).map(Lun::get), Some(63));
        assert_eq!(Lun::new(64), None);
    }
}
