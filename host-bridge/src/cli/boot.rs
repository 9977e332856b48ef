//! `lcow uvm boot`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

use super::options::{self, FileOption, NicOption};
use super::signals::Signals;
use crate::uvm::plan::DEFAULT_MEMORY_MIB;
use crate::uvm::{BootPlan, Root};
use crate::vmm::{Accelerator, Disk, Exit, MacAddress, Machine, Nic, Peers, Pmem, Vmm};

/// Time for the console's last lines to be written after the machine has ended.
const LAST_LINES: Duration = Duration::from_secs(2);
/// Bytes of the console that are written at once.
const BATCH: usize = 64 * 1024;
/// The longest socket path that leaves room for `_` and ten digits in a Unix socket's address.
const MAX_SOCKET_PATH: usize = 107 - 11;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A guest dial to port P arrives at the Unix socket `PATH_P`; nothing is created at PATH itself
    #[arg(long, value_name = "PATH")]
    vsock_uds: PathBuf,
    /// Directory with kernel and initrd.img [default: `$LCOW_BOOT_FILES`, `boot` beside lcow, the user's data, the system's]
    #[arg(long, value_name = "DIR")]
    boot_files: Option<PathBuf>,
    /// Memory in MiB
    #[arg(short, long, value_name = "MIB", default_value_t = DEFAULT_MEMORY_MIB, value_parser = clap::value_parser!(u32).range(32..=16_777_216))]
    memory: u32,
    /// What memory can grow to while the machine runs, in MiB: `object-add` and `device_add pc-dimm` at the socket of --qmp
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(32..=16_777_216))]
    max_memory: Option<u32>,
    /// Virtual processors [default: 2; 1 under emulation, which runs all of them in one thread]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: Option<u32>,
    /// A disk on SCSI controller 0, at LUN 0, 1, 2… in this order
    #[arg(long = "disk", value_name = "FILE[,ro]")]
    disks: Vec<FileOption>,
    /// A persistent memory device
    #[arg(long, value_name = "FILE[,ro]")]
    pmem: Vec<FileOption>,
    /// A network adapter; the MAC address of the i-th is 00:15:5d:00:00:0i unless given
    #[arg(long = "nic", value_name = "user[,mac=MAC]")]
    nics: Vec<NicOption>,
    /// Where the root file system is; a disk takes LUN 0. `verity` is a disk that is checked by hash as FILE with the
    /// ending .cmdline says; `efi-disk` is one that firmware starts by itself
    #[arg(long, value_name = "initrd|scsi:FILE|verity:FILE|pmem:FILE|efi-disk:FILE", default_value = "initrd", value_parser = options::root)]
    root: Root,
    /// UEFI firmware that starts `kernel` or the disk, as Hyper-V does for such VMs (Debian: /usr/share/ovmf/OVMF.fd)
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// Words for the kernel command line, before its `--`
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    append: String,
    /// Replaces what follows `--` on the kernel command line: the arguments of /init
    #[arg(long = "init-args", value_name = "TEXT", allow_hyphen_values = true)]
    init: Option<String>,
    /// The agent's log level
    #[arg(long, value_name = "L", default_value = "info", value_parser = ["trace", "debug", "info", "warning", "error", "fatal", "panic"])]
    log_level: String,
    /// Also give QEMU's control protocol at this Unix socket
    #[arg(long, value_name = "PATH")]
    qmp: Option<PathBuf>,
    /// How to run the guest's instructions [default: kvm with `kvm_intel` or `kvm_amd`, else tcg]
    #[arg(long, value_name = "kvm|tcg", value_parser = options::accelerator)]
    accel: Option<Accelerator>,
}

/// Boots and waits for the end.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Before anything exists that a signal would have to clean up.
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let socket_path = absolute(&args.vsock_uds)?;
    if socket_path.as_os_str().len() > MAX_SOCKET_PATH {
        bail!(
            "--vsock-uds {}: with a port the path exceeds a Unix socket's 107 bytes",
            socket_path.display()
        );
    }
    let config = plan(args)?.machine(Peers::UnixSockets(socket_path))?;
    let machine = tokio::select! {
        machine = Machine::start(config) => machine?,
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let (kept, live) = machine.console().subscribe();
    let copy = tokio::spawn(copy_console(kept, live));
    let (exit, tail) = follow(machine, &mut signals).await;
    // Nobody may be reading our output any more; the status matters more than the last lines.
    if let Ok(copied) = tokio::time::timeout(LAST_LINES, copy).await {
        copied.context("the console's copy failed")?;
    }
    match exit {
        Exit::PoweredOff | Exit::Stopped => Ok(ExitCode::SUCCESS),
        Exit::Reset => Ok(ExitCode::from(1)),
        Exit::Failed { reason } => bail!("{reason}; {tail}"),
    }
}

/// Waits for the machine's end, or ends it on a signal. It is gone afterwards, and with it our side of its console.
async fn follow(machine: Machine, signals: &mut Signals) -> (Exit, String) {
    let exit = tokio::select! {
        exit = machine.ended() => exit,
        _ = signals.next() => {
            machine.stop().await;
            Exit::Stopped
        }
    };
    (exit, machine.console().tail())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot use path {}", path.display()))
}

fn plan(args: Args) -> anyhow::Result<BootPlan> {
    if let Some(max) = args.max_memory.filter(|max| *max < args.memory) {
        bail!("--max-memory {max} is less than --memory {}", args.memory);
    }
    let disks = args
        .disks
        .iter()
        .map(|disk| Disk::open(&disk.path, disk.read_only))
        .collect::<Result<Vec<_>, _>>()?;
    let pmem =
        args.pmem.iter().map(|pmem| Ok(Pmem { path: absolute(&pmem.path)?, read_only: pmem.read_only }));
    let nics = args
        .nics
        .iter()
        .zip(0_u8..)
        .map(|(nic, index)| Nic { mac: nic.mac.unwrap_or_else(|| MacAddress::default_for(index)) });
    Ok(BootPlan {
        boot_files: args.boot_files,
        memory_mib: args.memory,
        max_memory_mib: args.max_memory,
        cpus: args.cpus,
        root: args.root,
        firmware: args.firmware.as_deref().map(absolute).transpose()?,
        disks,
        pmem: pmem.collect::<anyhow::Result<Vec<_>>>()?,
        nics: nics.collect(),
        append: args.append,
        init_args: args.init,
        log_level: args.log_level,
        accelerator: args.accel,
        qmp: args.qmp.as_deref().map(absolute).transpose()?,
        ..BootPlan::default()
    })
}

/// Copies the console to standard output until the machine is gone. When standard output has gone the machine goes on.
async fn copy_console(kept: Vec<u8>, mut live: Receiver<Arc<[u8]>>) {
    let mut open = write_out(&kept).is_ok();
    loop {
        match live.recv().await {
            Ok(bytes) if open => {
                let (bytes, lost) = gather(&bytes, &mut live);
                open = write_out(&bytes).is_ok();
                lost.inspect(|count| say_lost(*count));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(count)) => say_lost(count),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Adds what has come since, for serial ports give a few bytes at a time; up to where pieces were lost, and how many.
fn gather(first: &[u8], live: &mut Receiver<Arc<[u8]>>) -> (Vec<u8>, Option<u64>) {
    let mut bytes = first.to_vec();
    while bytes.len() < BATCH {
        match live.try_recv() {
            Ok(more) => bytes.extend_from_slice(&more),
            Err(TryRecvError::Lagged(count)) => return (bytes, Some(count)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    (bytes, None)
}

fn say_lost(count: u64) {
    eprintln!("lcow: standard output is slow: lost {count} pieces of console output");
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::vmm::Console;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_gathered_up_to_where_something_is_lost() {
        let console = Console::default();
        let (_, mut live) = console.subscribe();
        let lines: Vec<String> = (0..1000).map(|number| format!("{number}\n")).collect();
        for line in &lines {
            console.push(line.as_bytes());
        }
        let first = live.recv().await.unwrap();
        let (bytes, lost) = gather(&first, &mut live);
        assert_eq!((String::from_utf8(bytes).unwrap(), lost), (lines.concat(), None));
        for _ in 0..100_000 {
            console.push(b"x");
        }
        let (bytes, lost) = gather(b"", &mut live);
        assert!(bytes.is_empty() && lost.is_some_and(|count| count > 0));
    }
}
