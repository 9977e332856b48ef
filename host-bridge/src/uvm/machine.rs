//! A utility VM that answers.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lcow_protocol::messages::{
    Create, DeleteContainerState, HostedSettings, ProcessParameters, SchemaVersion,
};
use lcow_protocol::{ContainerId, json::Stringified};
use serde_json::Value;
use tokio::sync::watch;

use super::plan::{BootPlan, PlanError};
use crate::guest::{self, BootTimes, Doors, Guest, GuestError, Process, Stage, Stdio, VmProcess};
use crate::transport::{Transport, TransportError};
use crate::vmm::{Console, Disk, Exit, Lun, Machine, Peers, Vmm, VmmError};

/// Time for a guest to boot and connect, as in stock hosts (guest protocol, section 16.2).
pub const CONNECT_TIMEOUT: Duration = Duration::from_mins(2);

/// Why a utility VM did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The monitor.
    #[error(transparent)]
    Vmm(#[from] VmmError),
    /// The transport.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The guest connected, and then something went wrong.
    #[error("the guest cannot be used")]
    Guest(#[from] GuestError),
    /// The machine ended.
    #[error("the utility VM ended while booting ({exit}): {}; {console}", stage.missing())]
    Ended {
        /// How.
        exit: Exit,
        /// How far it came.
        stage: Stage,
        /// The last lines of its console.
        console: String,
    },
    /// The guest did not connect in time.
    #[error("the utility VM did not connect within {} s: {}; {console}", limit.as_secs(), stage.missing())]
    Timeout {
        /// The time it had.
        limit: Duration,
        /// How far it came.
        stage: Stage,
        /// The last lines of its console.
        console: String,
    },
}

/// A utility VM. All methods may be called at once from anywhere; dropping it ends the machine at once.
#[derive(Debug)]
pub struct Uvm {
    machine: Machine,
    guest: Guest,
    times: BootTimes,
    tries: u32,
    luns: Mutex<BTreeSet<Lun>>,
}

impl Uvm {
    /// Boots a utility VM and waits until its agent answers.
    ///
    /// A machine that has not connected within the plan's `first_try` is replaced by a new one, once and within the plan's
    /// time: emulated processors have been seen to stop for good, once in some hundred boots.
    pub async fn boot(plan: &BootPlan) -> Result<Self, BootError> {
        let first = plan.connect_timeout.min(plan.first_try);
        let left = plan.connect_timeout.saturating_sub(first);
        match Self::boot_within(plan, first).await {
            Err(BootError::Timeout { .. }) if !left.is_zero() => {
                let mut uvm = Self::boot_within(plan, left).await?;
                uvm.tries = 2;
                Ok(uvm)
            }
            result => result,
        }
    }

    async fn boot_within(plan: &BootPlan, limit: Duration) -> Result<Self, BootError> {
        let transport = Transport::default();
        // The listeners exist before the machine starts.
        let doors = Doors::open(&transport)?;
        let config = plan.machine(Peers::Listeners(transport))?;
        let luns = (0..config.disks.len()).filter_map(Lun::new).collect();
        let (stage, reached) = watch::channel(Stage::Kernel);
        let connect = guest::connect(doors, Instant::now(), &stage);
        let machine = Machine::start(config).await?;
        let tail = || machine.console().tail();
        let result = tokio::select! {
            result = tokio::time::timeout(limit, connect) => result,
            exit = machine.ended() => {
                return Err(BootError::Ended { exit, stage: *reached.borrow(), console: tail() });
            }
        };
        match result {
            Ok(Ok((guest, times))) => Ok(Self { machine, guest, times, tries: 1, luns: Mutex::new(luns) }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                let error = BootError::Timeout { limit, stage: *reached.borrow(), console: tail() };
                // Its disks must be free for the next one.
                machine.kill().await;
                Err(error)
            }
        }
    }

    /// The guest agent.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// The console's output.
    pub fn console(&self) -> &Console {
        self.machine.console()
    }

    /// How many machines were started until one connected: 1, or 2 if the first hung.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// How long booting took, from before the monitor was started.
    pub fn times(&self) -> BootTimes {
        self.times
    }

    fn luns(&self) -> MutexGuard<'_, BTreeSet<Lun>> {
        self.luns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plugs a disk into the first free unit of SCSI controller 0. The guest has still to be told what to do with it.
    pub async fn attach_disk(&self, disk: &Disk) -> Result<Lun, VmmError> {
        let lun = self.reserve_lun().ok_or_else(|| VmmError::Refused {
            operation: format!("attach {}", disk.path.display()),
            reason: "all 64 units of SCSI controller 0 are taken".into(),
        })?;
        let attached = self.machine.attach_disk(lun, disk).await;
        if attached.is_err() {
            self.luns().remove(&lun);
        }
        attached.map(|()| lun)
    }

    fn reserve_lun(&self) -> Option<Lun> {
        let mut taken = self.luns();
        let free = (0..).map_while(Lun::new).find(|lun| !taken.contains(lun))?;
        taken.insert(free);
        Some(free)
    }

    /// Pulls a disk. The guest must have let go of it before.
    pub async fn detach_disk(&self, lun: Lun) -> Result<(), VmmError> {
        self.machine.detach_disk(lun).await?;
        self.luns().remove(&lun);
        Ok(())
    }

    /// Plugs further memory, in MiB: a multiple of 128, within the plan's `max_memory_mib`. The guest takes it into use a
    /// moment later; its agent then raises the limit of all containers within a minute, or when it is told to
    /// (`PodCgroupMemoryLimit`).
    pub async fn add_memory(&self, mib: u32) -> Result<(), VmmError> {
        self.machine.add_memory(mib).await
    }

    /// Starts a process of the VM itself.
    pub async fn exec(&self, process: VmProcess) -> Result<Process, GuestError> {
        self.guest.exec(process).await
    }

    /// Prepares a container whose root file system is already in the VM.
    pub async fn container_create(
        &self,
        id: &ContainerId,
        bundle: &str,
        specification: Value,
        scratch: Option<&str>,
    ) -> Result<(), GuestError> {
        let settings = HostedSettings {
            schema_version: SchemaVersion { major: 2, minor: 1 },
            oci_bundle_path: bundle.to_owned(),
            oci_specification: specification,
            scratch_dir_path: scratch.unwrap_or_default().to_owned(),
        };
        self.guest.call(id, Create { container_config: Stringified(settings) }).await.map(|_| ())
    }

    /// Starts a container's init process.
    pub async fn container_start(&self, id: &ContainerId, stdio: Stdio) -> Result<Process, GuestError> {
        self.guest.call(id, lcow_protocol::messages::Start {}).await?;
        self.guest.execute(id.clone(), ProcessParameters::default(), stdio).await
    }

    /// Starts a further process, an OCI `process` object, in a running container.
    pub async fn container_exec(
        &self,
        id: &ContainerId,
        process: Value,
        stdio: Stdio,
    ) -> Result<Process, GuestError> {
        let parameters = ProcessParameters { oci_process: Some(process), ..ProcessParameters::default() };
        self.guest.execute(id.clone(), parameters, stdio).await
    }

    /// Removes everything the guest holds for a container.
    pub async fn container_delete(&self, id: &ContainerId) -> Result<(), GuestError> {
        self.guest.call(id, DeleteContainerState {}).await.map(|_| ())
    }

    /// Waits for the machine's end.
    pub async fn ended(&self) -> Exit {
        self.machine.ended().await
    }

    /// Ends the machine at once. What its disks hold is lost or half-written, but nothing of it is left running.
    pub async fn kill(self) {
        self.machine.kill().await;
    }

    /// Ends the machine.
    pub async fn stop(self) {
        self.machine.stop().await;
    }
}
