//! The files of one way to boot, so that nothing else can be booted in their place.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Program, Root, Way};
use crate::efi::pe::{self, PeError};
use crate::formats::uvm_vhdx::{self, UvmVhdxError};
use crate::inspect::{self, InspectError};
use crate::kernel::bzimage::{self, BzImageError};

/// Why a way cannot be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    /// What is to be started is something else, or damaged.
    #[error("{}", super::told(.0))]
    Inspect(#[from] InspectError),
    /// What is to be started is no kernel.
    #[error("{} is no kernel: {source}", path.display())]
    Kernel { path: PathBuf, source: BzImageError },
    /// What firmware is to start is no program that it knows.
    #[error("{} is no EFI program: {source}", path.display())]
    Efi { path: PathBuf, source: PeError },
    /// A file cannot be read, or put where the machine finds it.
    #[error("cannot use {}: {source}", path.display())]
    Use { path: PathBuf, source: io::Error },
    /// The disk for a program that only firmware can start.
    #[error("cannot make a disk with {}: {source}", path.display())]
    Disk { path: PathBuf, source: UvmVhdxError },
}

/// Looks for damage that can be told without a boot: firmware would wait for a better disk, and a kernel that cannot unpack
/// itself halts, until the time is over. QEMU's firmware also starts kernels that are no EFI programs, which others do not.
pub(super) fn look(program: Program, dir: &Path) -> Result<(), FilesError> {
    let path = dir.join(program.file());
    let bytes = fs::read(&path).map_err(|source| FilesError::Use { path: path.clone(), source })?;
    if matches!(program, Program::Kernel | Program::Efi) {
        bzimage::release(&bytes).map_err(|source| FilesError::Kernel { path: path.clone(), source })?;
    }
    if program == Program::Efi {
        pe::check(&bytes).map_err(|source| FilesError::Efi { path: path.clone(), source })?;
    }
    inspect::inspect(&path)?;
    Ok(())
}

/// The arguments of `lcow uvm boot` for `way` with the files in `dir`; what must be made for it goes to `scratch`.
pub(super) fn arguments(way: Way, dir: &Path, scratch: &Path) -> Result<Vec<OsString>, FilesError> {
    let root = match way.root {
        Root::Initrd => None,
        Root::Scsi => Some(("scsi:", dir.join("rootfs.vhd"))),
        Root::Pmem => Some(("pmem:", dir.join("rootfs.vhd"))),
        Root::Verity => Some(("verity:", dir.join("rootfs.vhd"))),
        Root::Own => Some(("efi-disk:", whole(way.program, dir, scratch)?)),
    };
    let mut arguments: Vec<OsString> = Vec::new();
    if way.root != Root::Own {
        arguments.extend(["--boot-files".into(), one_kernel(way, dir, scratch)?.into()]);
    }
    if let Some((kind, path)) = root {
        let mut root = OsString::from(kind);
        root.push(path);
        arguments.extend(["--root".into(), root]);
    }
    Ok(arguments)
}

/// A directory of boot files with the kernel of `way` alone.
fn one_kernel(way: Way, dir: &Path, scratch: &Path) -> Result<PathBuf, FilesError> {
    let files = scratch.join("boot");
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| FilesError::Use { path, source }
    };
    fs::create_dir(&files).map_err(failed(&files))?;
    // Firmware starts what is called kernel, too.
    let name = if way.program == Program::Vmlinux { "vmlinux" } else { "kernel" };
    let initrd = (way.root == Root::Initrd).then_some(("initrd.img", "initrd.img"));
    for (from, to) in [Some((way.program.file(), name)), initrd].into_iter().flatten() {
        let from = dir.join(from);
        let absolute = from.canonicalize().map_err(failed(&from))?;
        symlink(absolute, files.join(to)).map_err(failed(&from))?;
    }
    Ok(files)
}

/// A disk from which firmware boots `program`.
fn whole(program: Program, dir: &Path, scratch: &Path) -> Result<PathBuf, FilesError> {
    let path = dir.join(program.file());
    if program == Program::WholeDisk {
        return Ok(path);
    }
    let failed = |source| FilesError::Use { path: path.clone(), source };
    let disk = uvm_vhdx::around(&fs::read(&path).map_err(failed)?)
        .map_err(|source| FilesError::Disk { path: path.clone(), source })?;
    let file = scratch.join("unified.img");
    fs::write(&file, disk).map_err(failed)?;
    Ok(file)
}
