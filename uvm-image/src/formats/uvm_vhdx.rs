//! `uvm.vhdx`: a whole disk that UEFI firmware boots by itself: GPT, an EFI system partition with a unified program at the
//! removable path, and the root file system.

use std::io::{self, Cursor, Seek, SeekFrom, Write};

use lcow_disk::fat::{self, FatError};
use lcow_disk::gpt::{self, GptError, Table, Wanted};
use lcow_disk::vhdx::{Disk, VhdxError};

use super::root_disk::RootDisk;
use crate::efi::unified::{self, Parts, UnifiedError};

/// Where firmware looks on a disk it knows nothing about.
const REMOVABLE_PATH: &str = "EFI/BOOT/BOOTX64.EFI";

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum UvmVhdxError {
    /// The boot program.
    #[error(transparent)]
    Unified(#[from] UnifiedError),
    /// The EFI system partition.
    #[error("cannot write the EFI system partition")]
    Fat(#[from] FatError),
    /// The partitions.
    #[error("cannot write the partition table")]
    Gpt(#[from] GptError),
    /// The container.
    #[error("cannot write the VHDX")]
    Vhdx(#[from] VhdxError),
    /// The root.
    #[error("cannot write the root partition")]
    Root(#[source] io::Error),
}

/// What goes into the disk.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The EFI stub.
    pub stub: &'a [u8],
    /// The text of `/etc/os-release`.
    pub os_release: &'a str,
    /// The kernel with its EFI stub.
    pub kernel: &'a [u8],
    /// The root file system; a tree of hashes is not used.
    pub root: &'a RootDisk,
}

/// Makes the disk; `line` gives the kernel command line for what the kernel is told about its root.
pub fn make(contents: &Contents<'_>, line: impl Fn(&str) -> String) -> Result<Vec<u8>, UvmVhdxError> {
    let root = contents.root;
    let file_system = &root.bytes[..usize::try_from(root.file_system).unwrap_or(usize::MAX)];
    // The root partition's identity is on the command line, which is in the other partition; so it is planned first.
    let root_wanted =
        Wanted { kind: gpt::LINUX_ROOT_X86_64, name: "root", bytes: root.file_system, identity: &root.uuid };
    let id = Table::plan(&[esp_wanted(1 << 20, &[]), root_wanted])?.partitions[1].id;
    let line = line(&format!("root=PARTUUID={id} ro rootwait init=/init"));
    let parts =
        Parts { os_release: contents.os_release, command_line: &line, initrd: None, kernel: contents.kernel };
    let program = unified::build(contents.stub, &parts)?;
    let files = [fat::File { path: REMOVABLE_PATH, data: &program }];
    let esp_size = fat::smallest(&files)?;
    let table = Table::plan(&[esp_wanted(esp_size, &root.uuid), root_wanted])?;
    let mut raw = Cursor::new(Vec::new());
    table.write(&mut raw)?;
    let [esp, root_partition] = &table.partitions[..] else { unreachable!("two were planned") };
    fat::write(&mut esp.window(&mut raw), esp_size, "LCOW", &files)?;
    raw.seek(SeekFrom::Start(root_partition.offset()))
        .and_then(|_| raw.write_all(file_system))
        .map_err(UvmVhdxError::Root)?;
    pack(&raw.into_inner(), table.disk_bytes(), table.id.bytes())
}

/// A raw disk that has nothing but `program`, where firmware looks on disks that it knows nothing about.
pub fn around(program: &[u8]) -> Result<Vec<u8>, UvmVhdxError> {
    let files = [fat::File { path: REMOVABLE_PATH, data: program }];
    let size = fat::smallest(&files)?;
    let table = Table::plan(&[esp_wanted(size, &[])])?;
    let mut raw = Cursor::new(Vec::new());
    table.write(&mut raw)?;
    for partition in &table.partitions {
        fat::write(&mut partition.window(&mut raw), size, "LCOW", &files)?;
    }
    let mut raw = raw.into_inner();
    raw.resize(usize::try_from(table.disk_bytes()).unwrap_or(usize::MAX), 0);
    Ok(raw)
}

fn esp_wanted(bytes: u64, identity: &[u8]) -> Wanted<'_> {
    Wanted { kind: gpt::EFI_SYSTEM, name: "EFI system", bytes, identity }
}

/// The blocks of `raw` that are not all zeros, in a VHDX of `size` bytes.
fn pack(raw: &[u8], size: u64, id: [u8; 16]) -> Result<Vec<u8>, UvmVhdxError> {
    const STEP: usize = 64 * 1024;
    let mut disk = Disk::new(Cursor::new(Vec::new()), size, id)?;
    for (block, at) in raw.chunks(STEP).zip((0_u64..).step_by(STEP)) {
        if block.iter().any(|byte| *byte != 0) {
            disk.seek(SeekFrom::Start(at)).and_then(|_| disk.write_all(block)).map_err(UvmVhdxError::Root)?;
        }
    }
    Ok(disk.finish()?.into_inner())
}
