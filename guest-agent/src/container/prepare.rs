//! From a host's specification to one that can be run: what is special about each kind, then what all have in common
//! (spec sections 7.5 to 7.8).

use std::path::{Path, PathBuf};

use lcow_protocol::ContainerId;
use serde_json::{Value, json};

use super::kind::Kind;
use super::pods::LOGS;
use super::rewrite::{self, TeeLog};
use super::{Error, annotations, blocking, runtime_spec, sandbox, standalone, workload};
use crate::gcs::Agent;
use crate::network::Place;

/// A container that is about to be created.
pub(super) struct Order<'a> {
    pub(super) agent: &'a Agent,
    pub(super) id: &'a ContainerId,
    pub(super) bundle: &'a Path,
    /// Rewritten on the way.
    pub(super) spec: Value,
}

/// What a kind has found out.
pub(super) struct Outcome {
    /// Where on the PCI bus its GPUs are.
    pub(super) gpus: Vec<String>,
    /// Where the files are that a pod shares.
    pub(super) root: PathBuf,
    /// As a specification names it.
    pub(super) cgroups_path: String,
    /// Whether the VM's own network is used.
    pub(super) host_network: bool,
    /// The namespace whose adapters are moved to the container.
    pub(super) network: Option<Attachment>,
}

/// A network namespace for a container.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) namespace: String,
    /// Whether it is an error if there is no record of it.
    pub(super) required: bool,
    /// Where its containers look for name servers.
    pub(super) resolv_conf: PathBuf,
}

/// What goes on after init exists.
pub(super) struct Prepared {
    pub(super) spec: Value,
    pub(super) root: PathBuf,
    pub(super) tee: Option<TeeLog>,
    pub(super) network: Option<Attachment>,
    pub(super) host_network: bool,
}

impl Order<'_> {
    /// The namespace that the host names, in lower case.
    pub(super) fn namespace(&self) -> String {
        let name = self.spec.pointer("/windows/network/networkNamespace").and_then(Value::as_str);
        name.unwrap_or_default().to_ascii_lowercase()
    }

    /// The container's root in the VM.
    pub(super) fn root(&self) -> PathBuf {
        root_of(&self.spec)
    }

    /// Resolves the user and adds the limits that annotations ask for, as for all kinds.
    pub(super) async fn adapt_process(&mut self) -> Result<(), Error> {
        rewrite::core_limit(&mut self.spec)?;
        let root = self.root();
        runtime_spec::resolve_user(&mut self.spec["process"], &root).await
    }
}

/// Rewrites a specification.
pub(super) async fn prepare(mut order: Order<'_>) -> Result<Prepared, Error> {
    runtime_spec::check(&mut order.spec)?;
    let outcome = match Kind::of(order.id.as_str(), &order.spec)? {
        Kind::Sandbox { pod, is_virtual } => sandbox::prepare(&mut order, &pod, is_virtual).await?,
        Kind::Workload { pod } => workload::prepare(&mut order, &pod).await?,
        Kind::Standalone => standalone::prepare(&mut order).await?,
    };
    let mut spec = order.spec;
    let logs = outcome.root.join(LOGS);
    if let Some(place) = annotations::text(&spec, annotations::TEE_MOUNT).map(str::to_owned) {
        rewrite::add_mount(
            &mut spec,
            json!({"destination": place, "type": "bind", "source": logs, "options": ["bind"]}),
        )?;
    }
    let tee = rewrite::tee_log(&spec, &logs)?;
    if outcome.host_network {
        rewrite::drop_network_namespace(&mut spec);
    }
    spec["linux"]["cgroupsPath"] = outcome.cgroups_path.into();
    runtime_spec::adapt(&mut spec);
    resolve_destinations(&mut spec).await?;
    // After the host's own hooks were taken out.
    let environment: Vec<_> = std::env::vars().collect();
    rewrite::gpu_hook(&mut spec, order.bundle, &outcome.gpus, &environment)?;
    Ok(Prepared {
        root: root_of(&spec),
        spec,
        tee,
        network: outcome.network,
        host_network: outcome.host_network,
    })
}

/// Writes mounts to where links of the image lead.
async fn resolve_destinations(spec: &mut Value) -> Result<(), Error> {
    let root = root_of(spec);
    let Some(mounts) = spec["mounts"].as_array_mut() else { return Ok(()) };
    let mut resolved = std::mem::take(mounts);
    *mounts = blocking(move || rewrite::destinations(&mut resolved, &root).map(|()| resolved)).await?;
    Ok(())
}

fn root_of(spec: &Value) -> PathBuf {
    PathBuf::from(spec["root"]["path"].as_str().unwrap_or_default())
}

/// Moves the adapters of a container's namespace to its init (spec section 7.8, step 9); returns what it is attached to,
/// if anything.
pub(super) async fn attach(
    agent: &Agent,
    network: Option<Attachment>,
    host_network: bool,
    init: u32,
) -> Result<Option<Attachment>, Error> {
    // Without a name there is nothing that adapters could be for, and pods without a network share no record.
    let Some(network) = network.filter(|network| !network.namespace.is_empty()) else { return Ok(None) };
    if !agent.network.knows(&network.namespace) {
        return if network.required { Err(Error::NoNetwork(network.namespace)) } else { Ok(None) };
    }
    let place = if host_network { Place::Machine } else { Place::Process(init) };
    agent.network.attach(&network.namespace, place, network.resolv_conf.clone()).await?;
    Ok(Some(network))
}
