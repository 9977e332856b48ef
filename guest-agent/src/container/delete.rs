//! `DeleteContainerState` (spec section 7.12): removes everything that is held for a container.

use std::path::Path;

use lcow_protocol::ContainerId;

use super::pods::{HUGE_PAGES, LOGS, SHARED, SHARED_MEMORY};
use super::{Container, Error, pods};
use crate::gcs::Agent;
use crate::runtime::{self, FailureKind};
use crate::storage;

const SIGKILL: i32 = 9;

/// What `Create` puts into a bundle.
const BUNDLE_FILES: [&str; 8] =
    ["config.json", "hostname", "hosts", "resolv.conf", SHARED, SHARED_MEMORY, HUGE_PAGES, LOGS];
/// Where they do.
const POD_BUNDLES: &str = "/run/gcs/pods";

/// Removes a container. An id that is not known is a success, since the host may delete what a failed create has
/// already undone. What fails is reported, and the container stays known, so that the host can try again.
pub(crate) async fn delete(agent: &Agent, id: &ContainerId) -> Result<(), Error> {
    let container = match agent.containers.get(id) {
        Err(Error::NotFound(_)) => return Ok(agent.storage.release_bundle(id).await?),
        found => found?,
    };
    if container.is_running() {
        return Err(Error::StillRunning(id.clone()));
    }
    container.give_up_output();
    end_init(agent, &container).await?;
    if let Some(network) = &container.network {
        agent.network.detach(&network.namespace, &network.resolv_conf);
    }
    if let Some((_, pod)) = agent.pods.of_sandbox(id) {
        pod.unmount().await?;
    }
    // Before libcontainer, which cannot remove cgroups that a container has made below its own.
    container.cgroup.remove().await?;
    agent.runtime.delete(id.as_str()).await.map_err(Error::runtime("deleting the container"))?;
    pods::take_down(agent, id, &container.bundle).await?;
    agent.storage.release_bundle(id).await?;
    if container.scratch != Path::new("") {
        storage::remove_tree(&container.scratch).await?;
    }
    remove_bundle(&container.bundle).await?;
    remove_pod_directory(agent, id, &container.bundle)?;
    agent.containers.remove(id);
    Ok(())
}

/// The newer hosts keep a pod's bundles in a directory of its own, which goes with the last of them.
pub(super) fn remove_pod_directory(agent: &Agent, id: &ContainerId, bundle: &Path) -> Result<(), Error> {
    match bundle.parent() {
        Some(parent) if parent != Path::new(POD_BUNDLES) && parent.starts_with(POD_BUNDLES) => {
            // Even if it is empty: another one's bundle may just be being made.
            let used = agent.containers.has_others_in(parent, id);
            if used { Ok(()) } else { Ok(storage::remove_if_empty(parent)?) }
        }
        _ => Ok(()),
    }
}

/// A container that was never started has an init that waits; it ends with the container.
async fn end_init(agent: &Agent, container: &Container) -> Result<(), Error> {
    if container.init.child().status().is_none() {
        let init = container.init.id().0;
        match agent.runtime.signal(init, SIGKILL).await {
            // It ended by itself, and the news of that is under way.
            Err(runtime::Error::Job(failure)) if failure.kind == FailureKind::NoSuchProcess => {}
            result => result.map_err(Error::runtime("ending init"))?,
        }
    }
    container.init.child().killed().await.map_err(Error::runtime("ending init"))?;
    container.cgroup.kill()?;
    Ok(())
}

/// Removes the bundle with everything in it. With the scratch disk mounted there, only what is ours: the rest is
/// the disk's, which the host may want to keep.
pub(super) async fn remove_bundle(bundle: &Path) -> Result<(), Error> {
    if !storage::is_mount_point(bundle) {
        return Ok(storage::remove_tree(bundle).await?);
    }
    for name in BUNDLE_FILES {
        storage::remove_tree(&bundle.join(name)).await?;
    }
    Ok(())
}
