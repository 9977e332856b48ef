//! `Create` (spec section 7): from the host's specification to an init process that waits to be let go.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use lcow_protocol::envelope::{Message, RequestBase};
use lcow_protocol::messages::{ContainerNotification, HostedSettings, SchemaVersion};
use serde_json::Value;

use super::job_file::JobFile;
use super::prepare::{self, Order, Prepared};
use super::state::{InitStdio, PlannedStdio, State, Waiting};
use super::{Container, Error, blocking, confinement, pods, rewrite, runtime_spec, working_directory};
use crate::bridge::Waited;
use crate::gcs::Agent;
use crate::process::{ConsoleSocket, Process, Relays, StdioPipes};
use crate::runtime::{self, ContainerJob, FailurePipe, Filter, STATE_ROOT};

/// The oldest container document that is understood.
const OLDEST_SCHEMA: SchemaVersion = SchemaVersion { major: 2, minor: 1 };

/// Creates a container.
pub(crate) async fn create(
    agent: &Rc<Agent>,
    base: RequestBase,
    settings: HostedSettings,
) -> Result<(), Error> {
    check(&base, &settings)?;
    let bundle = PathBuf::from(&settings.oci_bundle_path);
    let reservation = agent.containers.reserve(base.container_id.clone(), &bundle)?;
    match build(agent, &base, settings).await {
        Ok(container) => {
            tokio::task::spawn_local(supervise(Rc::clone(agent), Rc::clone(&container)));
            reservation.fill(container);
            Ok(())
        }
        Err(error) => {
            undo(agent, &base, &bundle).await;
            Err(error)
        }
    }
}

/// Takes back what a failed `Create` has done; each step is tried whatever the others say.
async fn undo(agent: &Agent, base: &RequestBase, bundle: &Path) {
    let failed = |error: &dyn std::error::Error| {
        tracing::warn!(error = crate::causes::with_causes(error), "cleaning up after a failed create");
    };
    // Also when init exists already and only its terminal or its network did not come.
    if let Err(error) = agent.runtime.delete(base.container_id.as_str()).await {
        failed(&error);
    }
    if let Err(error) = pods::take_down(agent, &base.container_id, bundle).await {
        failed(&error);
    }
    if let Err(error) = agent.storage.release_bundle(&base.container_id).await {
        failed(&error);
    }
    if let Err(error) = super::delete::remove_bundle(bundle).await {
        failed(&error);
    }
    // Whoever was deleted meanwhile has left it because of this one.
    if let Err(error) = super::delete::remove_pod_directory(agent, &base.container_id, bundle) {
        failed(&error);
    }
}

fn check(base: &RequestBase, settings: &HostedSettings) -> Result<(), Error> {
    base.container_id.validate()?;
    if settings.schema_version < OLDEST_SCHEMA {
        let SchemaVersion { major, minor } = settings.schema_version;
        return Err(Error::Schema { major, minor });
    }
    for (name, path) in
        [("OciBundlePath", &settings.oci_bundle_path), ("ScratchDirPath", &settings.scratch_dir_path)]
    {
        let optional = name == "ScratchDirPath" && path.is_empty();
        let plain = Path::new(path).components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !optional && (!path.starts_with('/') || path == "/" || !plain) {
            return Err(Error::Invalid(format!("{name} {path:?} is not an absolute path")));
        }
    }
    if !settings.oci_specification.is_object() {
        return Err(Error::Invalid("there is no OciSpecification".to_owned()));
    }
    Ok(())
}

async fn build(agent: &Agent, base: &RequestBase, settings: HostedSettings) -> Result<Rc<Container>, Error> {
    let id = base.container_id.as_str();
    let bundle = PathBuf::from(settings.oci_bundle_path);
    create_bundle(&bundle).await?;
    let order = Order { agent, id: &base.container_id, bundle: &bundle, spec: settings.oci_specification };
    let Prepared { spec, root, tee, network, host_network } = prepare::prepare(order).await?;
    working_directory::create(&spec["process"], &root).await;
    let filter = filter(agent, &spec).await?;
    let mut config = spec.clone();
    let confinement = JobFile::new(&confinement::confine_init(&mut config, filter.as_deref()))?;
    // The executor has it.
    config["linux"].as_object_mut().map(|linux| linux.remove("seccomp"));
    agent.cgroups()?.adapt(&mut config);
    let (config, root) = complete(config, root, &bundle).await?;
    write_config(&bundle, &config).await?;
    let (child, waiting, terminal) = create_init(agent, id, &bundle, root, &config, &confinement).await?;
    let network = prepare::attach(agent, network, host_network, child.pid).await?;
    let cgroups_path = spec["linux"]["cgroupsPath"].as_str().unwrap_or_default();
    Ok(Rc::new(Container {
        id: base.container_id.clone(),
        activity: base.activity_id,
        bundle,
        scratch: PathBuf::from(settings.scratch_dir_path),
        owns_pid_namespace: runtime_spec::owns_namespace(&spec, "pid"),
        cgroup: agent.cgroups()?.named(cgroups_path),
        spec,
        tee,
        network,
        init: Process::new(child, terminal),
        state: RefCell::new(State::Created(waiting)),
        oom_kills: Cell::default(),
        relays: RefCell::new(Relays::default()),
        execs: RefCell::default(),
    }))
}

/// Has what the runtime leaves undone in the container's root done there.
async fn complete(mut config: Value, root: PathBuf, bundle: &Path) -> Result<(Value, PathBuf), Error> {
    let bundle = bundle.to_owned();
    blocking(move || {
        rewrite::complete(&mut config, &root, &bundle)?;
        Ok((config, root))
    })
    .await
}

/// The compiled system call filter of a specification, if it has a profile.
pub(super) async fn filter(agent: &Agent, spec: &Value) -> Result<Option<Rc<Filter>>, Error> {
    match &spec["linux"]["seccomp"] {
        Value::Null => Ok(None),
        profile => Ok(Some(agent.filters.get(profile).await?)),
    }
}

async fn create_bundle(bundle: &Path) -> Result<(), Error> {
    let bundle = bundle.to_owned();
    blocking(move || {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o755).create(&bundle);
        made.map_err(Error::io("creating the bundle", &bundle))
    })
    .await
}

async fn write_config(bundle: &Path, spec: &Value) -> Result<(), Error> {
    let path = bundle.join("config.json");
    let text = serde_json::to_vec(spec).map_err(|error| Error::Invalid(error.to_string()))?;
    blocking(move || fs::write(&path, text).map_err(Error::io("writing", &path))).await
}

type Init = (runtime::Child, Waiting, Option<Rc<crate::process::Pty>>);

async fn create_init(
    agent: &Agent,
    id: &str,
    bundle: &Path,
    root: PathBuf,
    spec: &Value,
    confinement: &JobFile,
) -> Result<Init, Error> {
    let planned = plan_stdio(&spec["process"], [true; 3])?;
    let (mut failures, failure_writer) =
        FailurePipe::new().map_err(Error::io("making a pipe for", bundle))?;
    let (stdio, fds) = planned.for_job(&failure_writer);
    let job = ContainerJob {
        id: id.to_owned(),
        bundle: bundle.to_owned(),
        confinement: confinement.0.clone(),
        new_network: runtime_spec::owns_namespace(spec, "network"),
        stdio,
    };
    let created = agent.runtime.create(job, &fds).await;
    drop(failure_writer);
    let child = match created {
        Ok(child) => child,
        Err(error) => {
            let operation = "creating the container";
            return Err(match failures.reason().await {
                Some(reason) => Error::Runtime { operation, source: reason.into() },
                None => working_directory::explain(operation, error, &spec["process"], root).await,
            });
        }
    };
    let (stdio, terminal) = match planned {
        PlannedStdio::Pipes(pipes) => (InitStdio::Pipes(pipes), None),
        PlannedStdio::Terminal(socket) => {
            let (owner, _) = runtime_spec::owner(&spec["process"]);
            let pty = socket.receive(owner).await.map_err(Error::io("receiving the terminal of", bundle))?;
            set_initial_size(&pty, &spec["process"]);
            failures.let_go().await;
            let pty = Rc::new(pty);
            (InitStdio::Terminal(Rc::clone(&pty)), Some(pty))
        }
    };
    Ok((child, Waiting { stdio, failures }, terminal))
}

/// What the streams of `process` will be, of which there are the `wanted` ones of stdin, stdout and stderr.
pub(super) fn plan_stdio(process: &Value, wanted: [bool; 3]) -> Result<PlannedStdio, Error> {
    let directory = Path::new(STATE_ROOT);
    if process["terminal"].as_bool().unwrap_or(false) {
        let socket =
            ConsoleSocket::new(directory).map_err(Error::io("opening a console socket in", directory))?;
        return Ok(PlannedStdio::Terminal(socket));
    }
    let pipes = StdioPipes::new(runtime_spec::owner(process), wanted)
        .map_err(Error::io("making pipes for", directory))?;
    Ok(PlannedStdio::Pipes(pipes))
}

/// Applies `consoleSize`, which libcontainer leaves alone.
pub(super) fn set_initial_size(pty: &crate::process::Pty, process: &Value) {
    let side = |name: &str| process["consoleSize"][name].as_u64().and_then(|side| u16::try_from(side).ok());
    if let (Some(rows), Some(columns)) = (side("height"), side("width"))
        && let Err(error) = pty.resize(rows, columns)
    {
        tracing::warn!(%error, "setting a terminal's first size");
    }
}

/// Waits for the end of init, then for its output to reach the host, then tells the host.
async fn supervise(agent: Rc<Agent>, container: Rc<Container>) {
    // A task of its own: should it panic, the host is still told of the end.
    let _ = tokio::task::spawn_local(deliver(Rc::clone(&container))).await;
    let status = container.init.child().exited().await;
    tracing::info!(cid = %container.id, exitCode = status, "container init has exited");
    container.init.finish(status);
    container.init.all_waits_answered().await;
    notify(&agent, &container);
}

/// Waits for the end of init, and until what it wrote has reached the host.
async fn deliver(container: Rc<Container>) {
    container.init.child().exited().await;
    if !container.owns_pid_namespace
        && let Err(error) = container.cgroup.kill()
    {
        tracing::warn!(error = &error as &dyn std::error::Error, cid = %container.id, "killing what init left behind");
    }
    let relays = container.relays.take();
    container.init.deliver(relays).await;
}

fn notify(agent: &Agent, container: &Container) {
    use lcow_protocol::MessageType;
    use lcow_protocol::frame::{self, MAX_TO_HOST};
    let base = RequestBase {
        container_id: container.id.clone(),
        activity_id: container.activity,
        ..RequestBase::default()
    };
    let payload = ContainerNotification { exit_type: container.init.exit_type(), ..Default::default() };
    let body = Message { base, payload }.to_json().unwrap_or_default();
    match frame::encode(MessageType::CONTAINER_NOTIFICATION, 0, &body, MAX_TO_HOST) {
        Ok(frame) => {
            let init = Waited { container: container.id.clone(), process: container.init.id() };
            agent.outbound.notify(init, frame);
        }
        Err(error) => tracing::error!(%error, cid = %container.id, "a notification could not be encoded"),
    }
}
