//! QEMU's command line: a q35 machine with few devices, so that firmware and kernel find little to probe.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use super::{drive, firmware};
use crate::vmm::{Accelerator, Boot, Lun, MachineConfig, Pmem, VmmError};

/// How often memory can be plugged into a machine that can grow.
const MEMORY_SLOTS: usize = 16;

/// Descriptors that QEMU inherits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    pub(super) qmp: RawFd,
    pub(super) vsock: RawFd,
}

/// A word list under construction.
#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    fn pair(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().into());
    }
}

/// All arguments for `config`.
pub(super) fn build(config: &MachineConfig, fds: Descriptors) -> Result<Vec<OsString>, VmmError> {
    let mut args = Args::default();
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.flag(flag);
    }
    args.pair("-display", "none");
    machine(&mut args, config)?;
    boot(&mut args, &config.boot);
    args.pair("-chardev", "stdio,id=console,signal=off");
    args.pair("-serial", "chardev:console");
    args.pair("-chardev", format!("socket,id=qmp,fd={}", fds.qmp));
    args.pair("-mon", "chardev=qmp,mode=control");
    args.pair("-chardev", format!("socket,id=vsock,fd={}", fds.vsock));
    args.pair("-device", "vhost-user-vsock-pci,chardev=vsock");
    if let Some(path) = &config.qmp {
        args.pair("-qmp", with_path("unix:", path, ",server=on,wait=off"));
    }
    args.pair("-device", "virtio-scsi-pci,id=scsi0");
    for (index, disk) in config.disks.iter().enumerate() {
        let lun = Lun::new(index).ok_or_else(|| VmmError::Refused {
            operation: format!("attach {}", disk.path.display()),
            reason: "all 64 units of SCSI controller 0 are taken".into(),
        })?;
        args.pair("-blockdev", drive::block_node(lun, disk).to_string());
        args.pair("-device", drive::device(lun).to_string());
    }
    for (index, nic) in config.nics.iter().enumerate() {
        args.pair("-netdev", format!("user,id=net{index}"));
        // An empty ROM file: nothing boots from the network.
        args.pair("-device", format!("virtio-net-pci,netdev=net{index},mac={},romfile=", nic.mac));
    }
    Ok(args.0)
}

fn boot(args: &mut Args, boot: &Boot) {
    let (firmware, kernel) = match boot {
        Boot::Direct(kernel) => (firmware::minimal(), Some(kernel)),
        Boot::Efi { firmware, kernel } => (Some(firmware.clone()), Some(kernel)),
        Boot::EfiDisk { firmware } => (Some(firmware.clone()), None),
    };
    if let Some(firmware) = firmware {
        args.pair("-bios", firmware);
    }
    let Some(kernel) = kernel else { return };
    args.pair("-kernel", &kernel.image);
    if let Some(initrd) = &kernel.initrd {
        args.pair("-initrd", initrd);
    }
    args.pair("-append", &kernel.command_line);
}

fn machine(args: &mut Args, config: &MachineConfig) -> Result<(), VmmError> {
    let nvdimm = if config.pmem.is_empty() { "off" } else { "on" };
    args.pair(
        "-machine",
        format!("q35,memory-backend=mem,nvdimm={nvdimm},sata=off,smbus=off,usb=off,vmport=off"),
    );
    match config.accelerator {
        Accelerator::Kvm => {
            args.pair("-accel", "kvm");
            args.pair("-cpu", "host");
        }
        Accelerator::Tcg => {
            // Linux patches its own code while other processors run it. With a thread for each, a processor may meet a
            // breakpoint of the patch after that is done: "Oops: int3", or a lockup.
            args.pair("-accel", "tcg,thread=single");
            // What copies bytes one by one as fast as words on a processor does not under emulation, and kernels believe it.
            args.pair("-cpu", "max,-erms,-fsrm");
        }
    }
    args.pair("-smp", config.cpus.to_string());
    // Shared, because the vsock device maps the guest's memory.
    args.pair("-object", format!("memory-backend-memfd,id=mem,size={}M,share=on", config.memory_mib));
    let mut memory = OsString::from(format!("{}M", config.memory_mib));
    // Free slots take the kernel time while it boots, so only a machine that asks for them has any.
    let growth = u64::from(config.max_memory_mib.unwrap_or(0).saturating_sub(config.memory_mib)) << 20;
    let free = if growth == 0 { 0 } else { MEMORY_SLOTS };
    let sizes = config.pmem.iter().map(pmem_size).collect::<Result<Vec<u64>, VmmError>>()?;
    if sizes.len() + free > 0 {
        // Every device is placed at a multiple of 1 GiB at worst.
        let room: u64 = sizes.iter().map(|size| size.next_multiple_of(1 << 30) + (1 << 30)).sum();
        let max = (u64::from(config.memory_mib) << 20) + room + growth;
        memory.push(format!(",slots={},maxmem={}M", sizes.len() + free, max >> 20));
    }
    args.pair("-m", memory);
    for (index, (pmem, size)) in config.pmem.iter().zip(sizes).enumerate() {
        pmem_device(args, index, pmem, size);
    }
    Ok(())
}

fn pmem_device(args: &mut Args, index: usize, pmem: &Pmem, size: u64) {
    let (share, unarmed) = if pmem.read_only { ("on,readonly=on", ",unarmed=on") } else { ("on", "") };
    let backend = format!("memory-backend-file,id=pmem{index},size={size},share={share},mem-path=");
    args.pair("-object", with_path(&backend, &pmem.path, ""));
    args.pair("-device", format!("nvdimm,id=nvdimm{index},memdev=pmem{index}{unarmed}"));
}

/// The mapped size of a file: whole pages.
fn pmem_size(pmem: &Pmem) -> Result<u64, VmmError> {
    let failed = |source| VmmError::File { what: "persistent memory", path: pmem.path.clone(), source };
    let size = pmem.path.metadata().map_err(failed)?.len() & !0xfff;
    if size == 0 {
        return Err(failed(io::Error::other("it is shorter than one page")));
    }
    Ok(size)
}

/// An option with a path in it; QEMU doubles commas.
fn with_path(before: &str, path: &Path, after: &str) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = before.as_bytes().to_vec();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    bytes.extend_from_slice(after.as_bytes());
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Transport;
    use crate::vmm::{Kernel, Peers};

    fn memory(max_memory_mib: Option<u32>) -> String {
        let kernel = Kernel { image: "vmlinux".into(), initrd: None, command_line: String::new() };
        let config = MachineConfig {
            boot: Boot::Direct(kernel),
            memory_mib: 512,
            max_memory_mib,
            cpus: 1,
            disks: Vec::new(),
            pmem: Vec::new(),
            nics: Vec::new(),
            accelerator: Accelerator::Tcg,
            peers: Peers::Listeners(Transport::default()),
            qmp: None,
        };
        let words = build(&config, Descriptors { qmp: 3, vsock: 4 }).unwrap();
        let place = words.iter().position(|word| word == "-m").unwrap();
        words[place + 1].to_str().unwrap().to_owned()
    }

    #[test]
    fn only_a_machine_that_can_grow_has_free_slots() {
        assert_eq!(memory(None), "512M");
        assert_eq!(memory(Some(512)), "512M");
        assert_eq!(memory(Some(1024)), "512M,slots=16,maxmem=1024M");
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(with_path("mem-path=", Path::new("/a,b"), ",x"), "mem-path=/a,,b,x");
    }
}
