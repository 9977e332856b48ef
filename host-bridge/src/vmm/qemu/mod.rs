//! QEMU on Linux.

mod args;
mod drive;
mod firmware;
mod process;
mod qmp;

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};

use crate::transport::vsock::{self, HostSide};
use crate::vmm::{Console, Disk, Exit, Lun, MachineConfig, Peers, Vmm, VmmError};
use args::Descriptors;
use process::Process;
use qmp::Qmp;

/// Time QEMU gets to write back its disks before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Time QEMU gets to let go of a disk.
const DETACH_LIMIT: Duration = Duration::from_secs(30);

/// A machine run by QEMU.
#[derive(Debug)]
pub struct Qemu {
    process: Arc<Process>,
    qmp: Qmp,
    console: Console,
    stopping: Arc<AtomicBool>,
    exit: watch::Receiver<Option<Exit>>,
    /// Ids of devices that are gone.
    deleted: broadcast::Sender<String>,
    /// How much memory was plugged, in pieces.
    dimms: AtomicU32,
    _qmp_path: Option<RemovedOnDrop>,
}

/// A file that goes with the machine.
#[derive(Debug)]
struct RemovedOnDrop(PathBuf);

impl Drop for RemovedOnDrop {
    fn drop(&mut self) {
        // QEMU may have removed it itself.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn system(operation: &'static str) -> impl Fn(std::io::Error) -> VmmError {
    move |source| VmmError::System { operation, source }
}

impl Vmm for Qemu {
    async fn start(config: MachineConfig) -> Result<Self, VmmError> {
        let host_side = match &config.peers {
            Peers::Listeners(transport) => HostSide::Listeners(transport.registry.clone()),
            Peers::UnixSockets(path) => HostSide::UnixSockets(path.clone()),
        };
        let vsock = vsock::start(host_side).map_err(system("start the vsock device"))?;
        let (monitor, theirs) = UnixStream::pair().map_err(system("make a socket pair"))?;
        let fds = Descriptors { qmp: theirs.as_raw_fd(), vsock: vsock.as_raw_fd() };
        let args = args::build(&config, fds)?;
        let console = Console::default();
        let inherited = vec![OwnedFd::from(theirs), OwnedFd::from(vsock)];
        let qmp_path = config.qmp.clone().map(RemovedOnDrop);
        let process = Arc::new(Process::spawn(args, inherited, console.clone()).await?);

        monitor.set_nonblocking(true).map_err(system("prepare a socket"))?;
        let monitor = tokio::net::UnixStream::from_std(monitor).map_err(system("prepare a socket"))?;
        let (sender, events) = mpsc::unbounded_channel();
        let Ok(qmp) = Qmp::connect(monitor, sender).await else {
            return Err(VmmError::NotStarted { reason: process.ended().await });
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let (ended, exit) = watch::channel(None);
        let deleted = broadcast::Sender::new(64);
        let watcher =
            Watcher { process: process.clone(), stopping: stopping.clone(), deleted: deleted.clone(), ended };
        tokio::spawn(watcher.run(events));
        Ok(Self {
            process,
            qmp,
            console,
            stopping,
            exit,
            deleted,
            dimms: AtomicU32::new(0),
            _qmp_path: qmp_path,
        })
    }

    async fn attach_disk(&self, lun: Lun, disk: &Disk) -> Result<(), VmmError> {
        let operation = || format!("attach {} at LUN {lun}", disk.path.display());
        self.execute(operation, "blockdev-add", drive::block_node(lun, disk)).await?;
        let added = self.execute(operation, "device_add", drive::device(lun)).await;
        if added.is_err() {
            // The first error is the one to report.
            let _ = self.qmp.execute("blockdev-del", json!({ "node-name": drive::id(lun) })).await;
        }
        added
    }

    async fn detach_disk(&self, lun: Lun) -> Result<(), VmmError> {
        let operation = || format!("detach the disk at LUN {lun}");
        let id = drive::id(lun);
        let mut deleted = self.deleted.subscribe();
        self.execute(operation, "device_del", json!({ "id": id })).await?;
        // No consent of the guest is needed for a SCSI unit, but QEMU lets go of it a little later.
        let gone = async { while deleted.recv().await.is_ok_and(|other| other != id) {} };
        // Without the event the next step fails and says so.
        let _ = tokio::time::timeout(DETACH_LIMIT, gone).await;
        self.execute(operation, "blockdev-del", json!({ "node-name": drive::id(lun) })).await
    }

    async fn add_memory(&self, mib: u32) -> Result<(), VmmError> {
        let operation = || format!("plug {mib} MiB of memory");
        let number = self.dimms.fetch_add(1, Ordering::Relaxed);
        let (backend, device) = (format!("more{number}"), format!("dimm{number}"));
        // Shared, because the vsock device maps the guest's memory.
        let object = json!({ "qom-type": "memory-backend-memfd", "id": backend, "size": u64::from(mib) << 20, "share": true });
        self.execute(operation, "object-add", object).await?;
        let plug = json!({ "driver": "pc-dimm", "id": device, "memdev": backend });
        let added = self.execute(operation, "device_add", plug).await;
        if added.is_err() {
            // The first error is the one to report.
            let _ = self.qmp.execute("object-del", json!({ "id": backend })).await;
        }
        added
    }

    fn console(&self) -> &Console {
        &self.console
    }

    async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.process.signal(Signal::SIGTERM);
        if tokio::time::timeout(STOP_GRACE, self.process.ended()).await.is_err() {
            self.process.signal(Signal::SIGKILL);
        }
        self.ended().await;
    }

    async fn kill(&self) {
        self.stopping.store(true, Ordering::Release);
        self.process.signal(Signal::SIGKILL);
        self.ended().await;
    }

    async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Exit::Stopped),
            Err(_) => Exit::Failed { reason: "the runtime that watched QEMU has ended".into() },
        }
    }
}

impl Qemu {
    async fn execute(
        &self,
        operation: impl Fn() -> String,
        command: &str,
        arguments: Value,
    ) -> Result<(), VmmError> {
        match self.qmp.execute(command, arguments).await {
            Ok(_) => Ok(()),
            Err(error) => Err(VmmError::Refused { operation: operation(), reason: error.to_string() }),
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL);
    }
}

/// Follows QEMU's events to its end.
struct Watcher {
    process: Arc<Process>,
    stopping: Arc<AtomicBool>,
    deleted: broadcast::Sender<String>,
    ended: watch::Sender<Option<Exit>>,
}

impl Watcher {
    async fn run(self, mut events: mpsc::UnboundedReceiver<Value>) {
        // The last `SHUTDOWN` tells why.
        let mut reason = String::new();
        while let Some(event) = events.recv().await {
            tracing::debug!(%event, "QEMU event");
            let detail = |name: &str| event["data"][name].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str() {
                Some("SHUTDOWN") => reason = detail("reason"),
                // Fails when nobody waits for one.
                Some("DEVICE_DELETED") => drop(self.deleted.send(detail("device"))),
                _ => {}
            }
        }
        let end = self.process.ended().await;
        let exit = match reason.as_str() {
            "guest-shutdown" => Exit::PoweredOff,
            "guest-reset" | "guest-panic" => Exit::Reset,
            _ if self.stopping.load(Ordering::Acquire) || reason == "host-qmp-quit" => Exit::Stopped,
            _ => Exit::Failed { reason: end },
        };
        self.ended.send_replace(Some(exit));
    }
}
