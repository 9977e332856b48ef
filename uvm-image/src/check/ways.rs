//! Ways to boot what is in a directory.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::elf;
use crate::formats::root_options;
use crate::sums;

/// A program that something starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The ELF kernel, which the monitor loads.
    Vmlinux,
    /// The packed kernel, which the monitor loads.
    Kernel,
    /// The packed kernel, which firmware starts as an EFI program.
    Efi,
    /// Kernel, command line and initrd, which firmware starts from a disk.
    Unified,
    /// A disk from which firmware boots.
    WholeDisk,
}

/// Programs and their files, in the order in which they are tried.
const PROGRAMS: &[(Program, &str)] = &[
    (Program::Vmlinux, "vmlinux"),
    (Program::Kernel, "kernel"),
    (Program::Efi, "bootx64.efi"),
    (Program::Unified, "unified.efi"),
    (Program::WholeDisk, "uvm.vhdx"),
];

impl Program {
    /// The name of its file.
    pub fn file(self) -> &'static str {
        PROGRAMS.iter().find(|(program, _)| *program == self).map_or("", |(_, file)| file)
    }

    fn needs_firmware(self) -> bool {
        matches!(self, Self::Efi | Self::Unified | Self::WholeDisk)
    }

    /// Whether root file system and command line are in the file.
    fn is_whole(self) -> bool {
        matches!(self, Self::Unified | Self::WholeDisk)
    }
}

/// Where the root file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// In the initrd.
    Initrd,
    /// On a SCSI disk.
    Scsi,
    /// In persistent memory.
    Pmem,
    /// On a SCSI disk whose blocks are checked by hash.
    Verity,
    /// Where the program says.
    Own,
}

/// Roots on `rootfs.vhd` without hashes.
const UNCHECKED: &[Root] = &[Root::Scsi, Root::Pmem];

impl Root {
    /// The name of its file, if it has one of its own.
    fn file(self) -> Option<&'static str> {
        match self {
            Self::Initrd => Some("initrd.img"),
            Self::Scsi | Self::Pmem | Self::Verity => Some("rootfs.vhd"),
            Self::Own => None,
        }
    }
}

/// One way to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// What is started.
    pub program: Program,
    /// With which root file system.
    pub root: Root,
}

impl Way {
    /// Whether firmware starts the machine.
    pub fn needs_firmware(self) -> bool {
        self.program.needs_firmware()
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starter = if self.needs_firmware() { "UEFI" } else { "direct" };
        let root = match self.root {
            Root::Initrd => ", initrd",
            Root::Scsi => ", root on SCSI",
            Root::Pmem => ", root in pmem",
            Root::Verity => ", verity root",
            Root::Own => "",
        };
        f.pad(&format!("{starter} boot of {}{root}", self.program.file()))
    }
}

/// Files that say something about the others.
const DOCUMENTS: &[&str] = &["rootfs.cmdline", "sbom.spdx.json", "versions.txt"];

/// What is tried, and what is not.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) ways: Vec<Way>,
    /// Files that are not tried, or not in some way, and why.
    pub(super) left_out: Vec<(String, &'static str)>,
}

const NO_PVH: &str = "it has no PVH note, without which QEMU cannot start it";
const NO_ROOT: &str = "there is neither initrd.img nor rootfs.vhd to boot it with";
const NO_KERNEL: &str = "there is no kernel to boot it with";
const HYPER_V: &str =
    "it is for Hyper-V, whose sockets QEMU does not have; --target qemu makes one that can be tried";
const HASHES: &str = "rootfs.vhd has hashes, and is tried only with the kernel checking them";
const ABOUT: &str = "it is about the others, and nothing that boots";
const NO_NAME: &str = "it has no name that a host looks for";
const NO_FIRMWARE: &str = "there is no UEFI firmware (package ovmf, or --firmware FILE)";

/// The word by which what carries its own command line for Hyper-V is known: its sockets are not QEMU's.
const HYPER_V_ONLY: &[u8] = b"initcall_blacklist=virtio_vsock_init";

impl Plan {
    /// Every file by itself, and every root with one kernel, as far as `firmware` allows.
    pub(super) fn of(dir: &Path, firmware: bool) -> Self {
        let mut plan = Self::default();
        let there: Vec<Program> = PROGRAMS
            .iter()
            .filter(|(_, file)| dir.join(file).is_file())
            .map(|(program, _)| *program)
            .collect();
        let (whole, kernels): (Vec<Program>, Vec<Program>) =
            there.into_iter().partition(|program| program.is_whole());
        plan.kernels(&kernels, dir);
        for program in whole {
            if is_for_hyper_v(&dir.join(program.file())) {
                plan.leave_out(program.file(), HYPER_V);
            } else {
                plan.ways.push(Way { program, root: Root::Own });
            }
        }
        if !(plan.ways.is_empty() && plan.left_out.is_empty()) {
            plan.others(dir);
        }
        plan.without_firmware(firmware)
    }

    /// Says of every other file in `dir` why it is not tried.
    fn others(&mut self, dir: &Path) {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.path().is_file());
        let mut names: Vec<String> =
            files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        let is_used = |way: &Way, name: &str| way.program.file() == name || way.root.file() == Some(name);
        for name in names {
            let is_told = self.left_out.iter().any(|(told, _)| *told == name);
            if !is_told && !self.ways.iter().any(|way| is_used(way, &name)) {
                let is_about = DOCUMENTS.contains(&&name[..]) || sums::is_list(&name);
                self.leave_out(&name, if is_about { ABOUT } else { NO_NAME });
            }
        }
    }

    /// Each kernel with the first root, and the other roots with one kernel.
    fn kernels(&mut self, there: &[Program], dir: &Path) {
        let roots = roots(dir);
        let vmlinux = there.contains(&Program::Vmlinux).then(|| elf_kernel(&dir.join("vmlinux"))).flatten();
        let mut able = there.to_vec();
        if vmlinux == Some(false) {
            self.leave_out(Program::Vmlinux.file(), NO_PVH);
            able.retain(|program| *program != Program::Vmlinux);
        }
        let Some(first) = roots.first() else {
            for program in able {
                self.leave_out(program.file(), NO_ROOT);
            }
            return;
        };
        self.ways.extend(able.iter().map(|program| Way { program: *program, root: *first }));
        // What is no kernel at all fails by itself; roots are worth a try with another one.
        let best = able.iter().find(|program| **program != Program::Vmlinux || vmlinux == Some(true));
        if let Some(program) = best.or(able.first()) {
            self.ways.extend(roots.iter().skip(1).map(|root| Way { program: *program, root: *root }));
            for root in UNCHECKED.iter().filter(|_| roots.contains(&Root::Verity)) {
                let way = Way { program: *program, root: *root };
                self.leave_out(&way.to_string(), HASHES);
            }
        } else {
            for name in ["initrd.img", "rootfs.vhd"].into_iter().filter(|name| dir.join(name).is_file()) {
                self.leave_out(name, NO_KERNEL);
            }
        }
    }

    fn leave_out(&mut self, file: &str, reason: &'static str) {
        self.left_out.push((file.to_owned(), reason));
    }

    fn without_firmware(mut self, firmware: bool) -> Self {
        if !firmware {
            let (left_out, ways): (Vec<Way>, _) = self.ways.into_iter().partition(|way| way.needs_firmware());
            self.ways = ways;
            self.left_out.extend(left_out.iter().map(|way| (way.to_string(), NO_FIRMWARE)));
        }
        self
    }
}

/// The roots that kernels in `dir` can have; they are all tried with one kernel, and the other kernels with the first.
fn roots(dir: &Path) -> Vec<Root> {
    let mut roots = Vec::new();
    if dir.join("initrd.img").is_file() {
        roots.push(Root::Initrd);
    }
    if dir.join("rootfs.vhd").is_file() {
        let with_hashes: &[Root] = &[Root::Verity];
        roots.extend(if root_options::has_hashes(dir) { with_hashes } else { UNCHECKED });
    }
    roots
}

/// Whether the ELF kernel at `path` has a PVH note; `None` when it is no ELF kernel.
fn elf_kernel(path: &Path) -> Option<bool> {
    elf::kernel_has_pvh_note(&fs::read(path).ok()?).ok()
}

fn is_for_hyper_v(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(HYPER_V_ONLY.len()).any(|window| window == HYPER_V_ONLY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn names(plan: &Plan) -> Vec<String> {
        plan.ways.iter().map(ToString::to_string).collect()
    }

    fn bench(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn every_file_is_tried_by_itself_and_every_root() {
        let words: &[u8] = b"root=/dev/dm-0 dm-mod.create=\"\"";
        let vmlinux = testing::vmlinux(true);
        let mut files: Vec<(&str, &[u8])> = vec![("kernel", b""), ("initrd.img", b""), ("rootfs.vhd", b"")];
        let plan = Plan::of(bench(&files).path(), true);
        let all = [
            "direct boot of kernel, initrd",
            "direct boot of kernel, root on SCSI",
            "direct boot of kernel, root in pmem",
        ];
        assert_eq!(names(&plan), all);
        files.extend([("vmlinux", &vmlinux[..]), ("bootx64.efi", b""), ("rootfs.cmdline", words)]);
        files.extend([("unified.efi", &b""[..]), ("uvm.vhdx", b"x")]);
        let dir = bench(&files);
        let all = [
            "direct boot of vmlinux, initrd",
            "direct boot of kernel, initrd",
            "UEFI boot of bootx64.efi, initrd",
            "direct boot of vmlinux, verity root",
            "UEFI boot of unified.efi",
            "UEFI boot of uvm.vhdx",
        ];
        let plan = Plan::of(dir.path(), true);
        let unchecked = ["direct boot of vmlinux, root on SCSI", "direct boot of vmlinux, root in pmem"];
        let left_out: Vec<&str> = plan.left_out.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names(&plan), all);
        assert_eq!(left_out, [unchecked[0], unchecked[1], "rootfs.cmdline"]);
        assert_eq!(plan.left_out[0].1, HASHES);
        let plan = Plan::of(dir.path(), false);
        assert_eq!((plan.ways.len(), plan.left_out.len()), (3, 6));
        // A program that is none is tried all the same, but not with everything.
        fs::write(dir.path().join("vmlinux"), "junk").unwrap();
        let names = names(&Plan::of(dir.path(), true));
        assert!(
            names[0].contains("vmlinux") && names[3] == "direct boot of kernel, verity root",
            "{names:?}"
        );
    }

    #[test]
    fn what_is_not_tried_has_a_reason() {
        let vmlinux = testing::vmlinux(false);
        let hyper_v: &[u8] = b"x initcall_blacklist=virtio_vsock_init y";
        for (files, reasons) in [
            (&[("kernel", &b""[..])][..], &[("kernel", NO_ROOT)][..]),
            (
                &[("vmlinux", &vmlinux[..]), ("initrd.img", b"")],
                &[("vmlinux", NO_PVH), ("initrd.img", NO_KERNEL)],
            ),
            (
                &[("uvm.vhdx", hyper_v), ("unified.efi", hyper_v)],
                &[("unified.efi", HYPER_V), ("uvm.vhdx", HYPER_V)],
            ),
            (&[("rootfs.vhd", b"")], &[("rootfs.vhd", NO_KERNEL)]),
            (
                &[("kernel", b""), ("lcow-initrd.img", b""), ("notes", b""), ("versions.txt", b"")],
                &[
                    ("kernel", NO_ROOT),
                    ("lcow-initrd.img", NO_NAME),
                    ("notes", NO_NAME),
                    ("versions.txt", ABOUT),
                ],
            ),
            (&[("versions.txt", b"")], &[]),
        ] {
            let plan = Plan::of(bench(files).path(), true);
            assert_eq!(plan.ways, []);
            let left_out: Vec<(&str, &str)> =
                plan.left_out.iter().map(|(name, reason)| (&name[..], *reason)).collect();
            assert_eq!(left_out, reasons);
        }
    }
}
