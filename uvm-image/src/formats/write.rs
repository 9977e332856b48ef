//! From a kernel and a root file system to the files of the formats that were asked for.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::root::Root;
use super::root_disk::{RootDisk, RootDiskError};
use super::root_options::{self, CannotBoot, Wanted};
use super::uvm_vhdx::{self, Contents, UvmVhdxError};
use super::{Format, Target, command_line};
use crate::efi::unified::{self, Parts, UnifiedError};
use crate::initrd::agent::Agent;
use crate::sbom::{self, Package, Part};
use crate::selection::Selection;

/// The text of `/etc/os-release` in boot programs.
const OS_RELEASE: &str = "ID=lcow\nNAME=\"LCOW utility VM\"\nPRETTY_NAME=\"LCOW utility VM\"\n";

/// What to write.
#[derive(Debug, Clone)]
pub struct Options {
    /// The formats.
    pub formats: BTreeSet<Format>,
    /// Whether `rootfs.vhd` is checked by hash.
    pub verity: bool,
    /// The hypervisor that outputs with a command line of their own are for.
    pub target: Target,
    /// Further words for such a command line.
    pub append: String,
    /// The EFI stub of unified programs.
    pub efi_stub: PathBuf,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970: the time of what has no time of its own, and the latest of all times.
    pub epoch: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            formats: [Format::Lcow, Format::Vmlinux].into(),
            verity: false,
            target: Target::default(),
            append: String::new(),
            efi_stub: unified::STUB.into(),
            epoch: None,
        }
    }
}

impl Options {
    /// Options that none of the formats makes use of, in words for the user.
    pub fn unused(&self) -> Vec<String> {
        let has = |wanted: &[Format]| wanted.iter().any(|format| self.formats.contains(format));
        let verity = "--verity does nothing here: only the format rootfs-vhd has its blocks checked by hash";
        let append =
            "--append does nothing here: only the formats uvm-vhdx and unified-efi have a command line";
        let unused = [
            (self.verity && !has(&[Format::RootfsVhd]), verity),
            (!self.append.is_empty() && !has(&[Format::UvmVhdx, Format::UnifiedEfi]), append),
        ];
        unused.into_iter().filter(|(unused, _)| *unused).map(|(_, text)| text.to_owned()).collect()
    }
}

/// Why a format cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The kernel does not do.
    #[error(transparent)]
    Kernel(#[from] CannotBoot),
    /// Compressing failed.
    #[error("cannot compress the initrd")]
    Pack(#[source] io::Error),
    /// The root disk.
    #[error(transparent)]
    RootDisk(#[from] RootDiskError),
    /// A unified program.
    #[error(transparent)]
    Unified(#[from] UnifiedError),
    /// The whole disk.
    #[error(transparent)]
    UvmVhdx(#[from] UvmVhdxError),
}

/// One file of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name in the directory.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Output {
    /// Name and content.
    pub fn named(&self) -> (&str, &[u8]) {
        (self.name, &self.bytes)
    }
}

/// A kernel and a root file system on their way to files.
struct Writer<'a> {
    kernel: &'a Selection,
    root: &'a dyn Root,
    options: &'a Options,
    initrd: Option<Vec<u8>>,
}

/// The stub that the formats of `options` have in them.
fn stub_part(options: &Options) -> Result<Option<Part>, FormatError> {
    let has = [Format::UvmVhdx, Format::UnifiedEfi].iter().any(|format| options.formats.contains(format));
    if !has {
        return Ok(None);
    }
    let bytes = unified::stub(&options.efi_stub)?;
    let version = sbom::stated(&bytes, b"LoaderInfo: systemd-stub ", b' ').map(str::to_owned);
    Ok(Some(Package::of_file("systemd-stub", version, &bytes).into()))
}

/// The list of what is in boot files of `kernel` with `agent`.
pub fn parts(kernel: &Selection, agent: Option<&Agent>, options: &Options) -> Result<Vec<Part>, FormatError> {
    let mut parts: Vec<Part> =
        vec![Package::of_file("linux", Some(kernel.release.clone()), &kernel.kernel).into()];
    parts.extend(agent.map(agent_part));
    parts.extend(stub_part(options)?);
    Ok(parts)
}

fn agent_part(agent: &Agent) -> Part {
    let package = Package::of_file("guest-agent", agent.version.clone(), &agent.bytes);
    Part { linked: agent.linked.clone().unwrap_or_default(), ..package.into() }
}

/// What the list of `parts` leaves out of `agent`, if anything.
pub fn unlisted(agent: Option<&Agent>) -> Option<String> {
    agent.filter(|agent| agent.linked.is_none()).map(|_| {
        "what is linked into the guest agent is not in sbom.spdx.json: the agent has no list of its own beside it \
         (FILE.linked.json, which `cargo xtask build` makes)"
            .to_owned()
    })
}

/// The files of `options`' formats, in the order of the formats.
pub fn files(kernel: &Selection, root: &dyn Root, options: &Options) -> Result<Vec<Output>, FormatError> {
    let mut writer = Writer { kernel, root, options, initrd: None };
    writer.check()?;
    let wanted = |format| options.formats.contains(&format);
    let mut outputs = Vec::new();
    if wanted(Format::Vmlinux) {
        outputs.push(Output { name: "vmlinux", bytes: kernel.vmlinux.clone() });
    }
    if wanted(Format::RootfsVhd) || wanted(Format::UvmVhdx) {
        outputs.extend(writer.disks(wanted(Format::RootfsVhd), wanted(Format::UvmVhdx))?);
    }
    if wanted(Format::UnifiedEfi) {
        outputs.push(writer.unified_efi()?);
    }
    // Last, for it takes the initrd away.
    if wanted(Format::Lcow) {
        outputs.splice(0..0, writer.lcow()?);
    }
    Ok(outputs)
}

impl Writer<'_> {
    /// What cannot work is refused before anything takes time.
    fn check(&self) -> Result<(), CannotBoot> {
        let wanted = [
            (
                Format::RootfsVhd,
                Wanted { output: "rootfs.vhd", verity: self.options.verity, partition: false },
            ),
            (Format::UvmVhdx, Wanted { output: "uvm.vhdx", verity: false, partition: true }),
        ];
        for (format, wanted) in wanted {
            if self.options.formats.contains(&format) {
                root_options::require(&self.kernel.config, &self.kernel.release, wanted)?;
            }
        }
        Ok(())
    }

    fn lcow(&mut self) -> Result<Vec<Output>, FormatError> {
        let kernel = &self.kernel.kernel;
        self.initrd()?;
        let bytes = self.initrd.take().unwrap_or_default();
        Ok(vec![
            Output { name: "kernel", bytes: kernel.clone() },
            Output { name: "bootx64.efi", bytes: kernel.clone() },
            Output { name: "initrd.img", bytes },
        ])
    }

    /// The disks with the root, which is made once for both.
    fn disks(&self, vhd: bool, vhdx: bool) -> Result<Vec<Output>, FormatError> {
        let mtime = self.options.epoch.and_then(|epoch| u64::try_from(epoch).ok()).unwrap_or_default();
        let disk = RootDisk::make(self.root, mtime, self.options.verity && vhd)?;
        let whole = if vhdx { Some(self.uvm_vhdx(&disk)?) } else { None };
        let mut outputs = Vec::new();
        if vhd {
            let words = disk.words() + "\n";
            outputs.push(Output { name: "rootfs.vhd", bytes: disk.into_vhd()? });
            outputs.push(Output { name: "rootfs.cmdline", bytes: words.into_bytes() });
        }
        outputs.extend(whole);
        Ok(outputs)
    }

    fn uvm_vhdx(&self, root: &RootDisk) -> Result<Output, FormatError> {
        let contents = Contents {
            stub: &unified::stub(&self.options.efi_stub)?,
            os_release: OS_RELEASE,
            kernel: &self.kernel.kernel,
            root,
        };
        let bytes = uvm_vhdx::make(&contents, |root| self.line(root))?;
        Ok(Output { name: "uvm.vhdx", bytes })
    }

    fn unified_efi(&mut self) -> Result<Output, FormatError> {
        let stub = unified::stub(&self.options.efi_stub)?;
        let line = self.line("");
        let kernel = self.kernel;
        let initrd = Some(self.initrd()?);
        let parts = Parts { os_release: OS_RELEASE, command_line: &line, initrd, kernel: &kernel.kernel };
        Ok(Output { name: "unified.efi", bytes: unified::build(&stub, &parts)? })
    }

    fn line(&self, root: &str) -> String {
        command_line(self.options.target, root, &self.options.append)
    }

    fn initrd(&mut self) -> Result<&[u8], FormatError> {
        if self.initrd.is_none() {
            let packing = self.kernel.packing();
            let packed = self.root.size().and_then(|size| packing.pack(size, |out| self.root.cpio(out)));
            self.initrd = Some(packed.map_err(FormatError::Pack)?);
        }
        Ok(self.initrd.as_deref().unwrap_or_default())
    }
}
