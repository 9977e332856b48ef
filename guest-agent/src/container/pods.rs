//! What the containers of a pod share: a directory, a cgroup, a network.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use lcow_protocol::ContainerId;

use super::{Error, blocking};
use crate::gcs::Agent;
use crate::storage;

/// Directories of a sandbox root on which something is mounted.
pub(super) const SHARED: &str = "sandboxMounts";
/// The one in memory.
pub(super) const SHARED_MEMORY: &str = "sandboxTmpfsMounts";
/// The one for huge pages.
pub(super) const HUGE_PAGES: &str = "hugepages";
/// Where tee'd logs go.
pub(super) const LOGS: &str = "logs";

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    /// The container that it begins and ends with.
    pub(super) sandbox: ContainerId,
    /// The sandbox root (spec section 7.4).
    pub(super) root: PathBuf,
    /// Whether its containers use the VM's own network.
    pub(super) host_network: bool,
}

/// All pods.
#[derive(Debug, Default)]
pub(crate) struct Pods(RefCell<HashMap<String, Pod>>);

impl Pods {
    /// A new pod.
    pub(super) fn add(&self, id: &str, pod: Pod) -> Result<(), Error> {
        let mut pods = self.0.borrow_mut();
        if pods.contains_key(id) {
            return Err(Error::Invalid(format!("pod {id} exists already")));
        }
        pods.insert(id.to_owned(), pod);
        Ok(())
    }

    /// The pod of that id.
    pub(super) fn get(&self, id: &str) -> Option<Pod> {
        self.0.borrow().get(id).cloned()
    }

    /// The pod that has `sandbox` for its sandbox container.
    pub(super) fn of_sandbox(&self, sandbox: &ContainerId) -> Option<(String, Pod)> {
        let pods = self.0.borrow();
        pods.iter().find(|(_, pod)| pod.sandbox == *sandbox).map(|(id, pod)| (id.clone(), pod.clone()))
    }

    /// Forgets a pod.
    pub(super) fn forget(&self, id: &str) {
        self.0.borrow_mut().remove(id);
    }

    /// Whether a pod has its root in `directory`, or is about to.
    fn has_roots_in(&self, directory: &Path) -> bool {
        self.0.borrow().values().any(|pod| pod.root.parent() == Some(directory))
    }
}

impl Pod {
    /// Takes off what is mounted in its root.
    pub(super) async fn unmount(&self) -> Result<(), Error> {
        let places = [SHARED, SHARED_MEMORY, HUGE_PAGES].map(|name| self.root.join(name));
        blocking(move || Ok(places.iter().try_for_each(|place| storage::unmount_all(place))?)).await
    }
}

/// The cgroup of a pod, as specifications name it.
pub(super) fn cgroups_path(pod: &str) -> String {
    format!("/pods/{pod}")
}

/// Takes down the pod of `sandbox`, if it is one: its mounts, its directory and its cgroup.
pub(super) async fn take_down(agent: &Agent, sandbox: &ContainerId, bundle: &Path) -> Result<(), Error> {
    let Some((id, pod)) = agent.pods.of_sandbox(sandbox) else { return Ok(()) };
    pod.unmount().await?;
    // Whatever still runs in the pod would write on.
    agent.cgroups()?.named(&cgroups_path(&id)).remove().await?;
    if pod.root == bundle {
        agent.pods.forget(&id);
        return Ok(());
    }
    storage::remove_tree(&pod.root).await?;
    agent.pods.forget(&id);
    match pod.root.parent() {
        // Even if it is empty: another one's root may just be being made.
        Some(all) if !agent.pods.has_roots_in(all) => Ok(storage::remove_if_empty(all)?),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_roots_is_used_from_the_moment_that_a_pod_is_known() {
        let pods = Pods::default();
        let all = Path::new("/run/gcs/pods/p/virtual-pods");
        let pod = |name: &str| Pod {
            sandbox: ContainerId(name.to_owned()),
            root: all.join(name),
            host_network: false,
        };
        pods.add("first", pod("first")).unwrap();
        pods.add("second", pod("second")).unwrap();
        pods.forget("first");
        assert!(pods.has_roots_in(all) && !pods.has_roots_in(&all.join("second")));
        pods.forget("second");
        assert!(!pods.has_roots_in(all));
    }
}
