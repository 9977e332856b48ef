//! What `uvm-build` can write of a root file system and a kernel.

pub mod documents;
pub mod root;
pub mod root_disk;
pub mod root_options;
pub mod tree_tar;
pub mod uvm_vhdx;
mod words;
pub mod write;

use std::str::FromStr;

pub use words::{Target, command_line};

/// A kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `kernel`, `bootx64.efi` (the same bytes) and `initrd.img`: what hosts of LCOW look for.
    Lcow,
    /// `vmlinux`: the ELF kernel, which starts fastest where the monitor can load it.
    Vmlinux,
    /// `rootfs.vhd`: the root file system on a fixed VHD.
    RootfsVhd,
    /// `uvm.vhdx`: a disk that UEFI firmware boots.
    UvmVhdx,
    /// `unified.efi`: kernel, command line and initrd in one EFI program.
    UnifiedEfi,
}

/// Names and what they write.
pub const FORMATS: &[(&str, Format, &str)] = &[
    ("lcow", Format::Lcow, "kernel, bootx64.efi (the same bytes), initrd.img"),
    (
        "vmlinux",
        Format::Vmlinux,
        "vmlinux, the ELF kernel, which starts fastest where it can be loaded (PVH)",
    ),
    (
        "rootfs-vhd",
        Format::RootfsVhd,
        "rootfs.vhd, the root as a read-only ext4 on a fixed VHD, and rootfs.cmdline",
    ),
    (
        "uvm-vhdx",
        Format::UvmVhdx,
        "uvm.vhdx, a whole disk (GPT, EFI system partition, root) that UEFI firmware boots",
    ),
    ("unified-efi", Format::UnifiedEfi, "unified.efi, kernel, command line and initrd in one EFI program"),
];

/// A name that no format has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no format {name}; there are {}", names())]
pub struct UnknownFormat {
    name: String,
}

fn names() -> String {
    FORMATS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = FORMATS.iter().find(|(name, ..)| *name == text);
        found.map(|(_, format, _)| *format).ok_or_else(|| UnknownFormat { name: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_name() {
        for (name, format, help) in FORMATS {
            assert_eq!(name.parse::<Format>(), Ok(*format));
            assert!(!help.is_empty());
        }
        let error = "iso".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("rootfs-vhd"), "{error}");
    }
}
