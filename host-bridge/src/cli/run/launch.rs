//! From an image to a container that runs in a utility VM of its own.

use anyhow::Context;
use lcow_oci::spec::{self, Terminal};
use lcow_oci::store::Image;
use lcow_oci::{Platform, Reference};
use lcow_protocol::{ContainerId, HResult};
use serde_json::Value;

use super::args::Args;
use super::limits;
use crate::containers::{Reservation, Wanted, random_id};
use crate::guest::{GuestError, Process, Stdio};
use crate::home::Home;
use crate::layers::{DEFAULT_SCRATCH_SIZE, DiskKey, RootFs, create_scratch};
use crate::uvm::{BootPlan, Uvm};
use crate::vmm::{Disk, Lun};

/// The guest cannot run the command.
#[derive(Debug, thiserror::Error)]
#[error("cannot run the command")]
pub(in crate::cli) struct NotRunnable {
    /// What a shell's status would be.
    pub(in crate::cli) status: u8,
    source: GuestError,
}

/// A container that runs.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) uvm: Uvm,
    pub(super) root: RootFs,
    pub(super) process: Process,
    pub(super) reservation: Reservation,
}

/// What is ready before the VM is booted.
struct Prepared {
    id: ContainerId,
    spec: Value,
    plan: BootPlan,
    reservation: Reservation,
}

/// Starts a container.
pub(super) async fn launch(args: Args, terminal: Option<Terminal>) -> anyhow::Result<Launched> {
    let stdio = Stdio { stdin: args.interactive, stdout: true, stderr: terminal.is_none() };
    // Files and conversions; nothing of it can wait for anything else.
    let preparing = tokio::task::spawn_blocking(move || prepare(&args, terminal));
    let Prepared { id, spec, plan, mut reservation } = preparing.await.context("preparing failed")??;
    let uvm = Uvm::boot(&plan).await?;
    if uvm.tries() > 1 {
        eprintln!("lcow: the utility VM hung while booting and was started anew");
    }
    let luns: Vec<Lun> = (0..plan.disks.len()).filter_map(Lun::new).collect();
    let (scratch, layers) = luns.split_last().context("no disks")?;
    let root = RootFs::assemble(&uvm, &id, layers, *scratch).await?;
    uvm.container_create(&id, &root.bundle(), spec, Some(&root.scratch_path())).await.map_err(explain)?;
    let process = uvm.container_start(&id, stdio).await.map_err(explain)?;
    reservation.running()?;
    Ok(Launched { uvm, root, process, reservation })
}

fn prepare(args: &Args, terminal: Option<Terminal>) -> anyhow::Result<Prepared> {
    let home = Home::open()?;
    let store = home.store()?;
    // Until the container's record names its disks, these locks keep image and disks from being deleted.
    let _disks = home.layers().hold()?;
    let _blobs = store.ingest()?;
    let (reference, image) = args.pull.image(&home, args.image()?)?;
    check(&image, &reference)?;
    let id = random_id()?;
    let container = ContainerId(id.clone());
    let options = args.options(&id, terminal, |name| std::env::var(name).ok());
    let spec = spec::generate(&image.config.config, &options, &RootFs::path_of(&container))?;
    let reservation = home.containers().reserve(Wanted {
        id,
        name: args.name.clone(),
        image: reference.familiar(),
        image_digest: Some(image.digest),
        layers: DiskKey::of_image(&image.config.rootfs.diff_ids),
        command: arguments(&spec),
        remove_at_end: args.rm,
    })?;
    let layers = home.layers().disks(&store, &image)?;
    create_scratch(&reservation.scratch(), DEFAULT_SCRATCH_SIZE)?;
    let mut disks = layers.iter().map(|path| Disk::open(path, true)).collect::<Result<Vec<_>, _>>()?;
    disks.push(Disk::open(&reservation.scratch(), false)?);
    let plan = BootPlan {
        boot_files: args.boot_files.clone(),
        memory_mib: limits::vm_memory(args.memory),
        cpus: args.cpus.map(limits::vm_cpus),
        disks,
        ..BootPlan::default()
    };
    Ok(Prepared { id: container, spec, plan, reservation })
}

/// Whether a container can be made of an image at all.
fn check(image: &Image, reference: &Reference) -> anyhow::Result<()> {
    let (here, there) = (Platform::host(), &image.config.platform);
    if !here.accepts(there) {
        anyhow::bail!("{} is not for {here}, only for {there}", reference.familiar());
    }
    if image.manifest.layers.is_empty() {
        anyhow::bail!("{} has no layers", reference.familiar());
    }
    Ok(())
}

fn arguments(spec: &Value) -> Vec<String> {
    let words = spec["process"]["args"].as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Finds the guest's two answers that have an exit status of their own.
fn explain(error: GuestError) -> anyhow::Error {
    let status = match &error {
        GuestError::Refused { result: HResult::NOT_EXECUTABLE, .. } => 126,
        GuestError::Refused { result: HResult::FILE_NOT_FOUND, .. } => 127,
        _ => return anyhow::Error::from(error).context("cannot start the container"),
    };
    NotRunnable { status, source: error }.into()
}
