//! The sandbox container of a pod (spec section 7.5).

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::pods::{self, HUGE_PAGES, LOGS, Pod, SHARED, SHARED_MEMORY};
use super::prepare::{Attachment, Order, Outcome};
use super::{Error, annotations, blocking, identity_files};
use crate::storage;

/// Sets up what the pod shares. On failure the pod is left for the caller to take down.
pub(super) async fn prepare(order: &mut Order<'_>, pod: &str, is_virtual: bool) -> Result<Outcome, Error> {
    let namespace = order.namespace();
    let root = if is_virtual { virtual_root(order.bundle, pod)? } else { order.bundle.to_owned() };
    let host_network = annotations::flag(&order.spec, annotations::HOST_NETWORK);
    let record = Pod { sandbox: order.id.clone(), root: root.clone(), host_network };
    order.agent.pods.add(pod, record)?;
    let path = root.clone();
    blocking(move || fs::create_dir_all(&path).map_err(Error::io("creating", &path))).await?;
    let skip = annotations::says_true(&order.spec, annotations::SKIP_NETWORKING);
    if skip || is_virtual {
        order.agent.network.ensure(&namespace);
    }
    let resolv_conf = match order.agent.network.resolv_conf(&namespace) {
        Some(text) => Some(text?),
        None if skip => None,
        None => return Err(Error::NoNetwork(namespace)),
    };
    identity_files::write(&order.spec, &root, resolv_conf).await?;
    order.adapt_process().await?;
    let path = root.clone();
    blocking(move || share(&path)).await?;
    order.agent.cgroups()?.named(&pods::cgroups_path(pod)).create(&order.spec["linux"]["resources"])?;
    let resolv_conf = root.join("resolv.conf");
    Ok(Outcome {
        gpus: Vec::new(),
        root,
        cgroups_path: format!("{}/{}", pods::cgroups_path(pod), order.id),
        host_network,
        network: Some(Attachment { namespace, required: !skip, resolv_conf }),
    })
}

fn share(root: &Path) -> Result<(), Error> {
    storage::share_directory(&root.join(SHARED))?;
    storage::share_memory(&root.join(SHARED_MEMORY))?;
    storage::share_directory(&root.join(HUGE_PAGES))?;
    Ok(storage::create_open_directory(&root.join(LOGS))?)
}

/// The root of one of several pods: beside the bundle.
fn virtual_root(bundle: &Path, pod: &str) -> Result<PathBuf, Error> {
    let plain =
        Path::new(pod).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain || pod.contains("..") {
        return Err(Error::Invalid(format!("virtual pod id {pod:?} is no name")));
    }
    Ok(bundle.parent().unwrap_or(bundle).join("virtual-pods").join(pod))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_virtual_pod_is_beside_its_bundle() {
        let bundle = Path::new("/run/gcs/pods/p/c");
        assert_eq!(virtual_root(bundle, "v").unwrap(), Path::new("/run/gcs/pods/p/virtual-pods/v"));
        for bad in ["/etc", "..", "a/../b"] {
            assert!(virtual_root(bundle, bad).is_err(), "{bad}");
        }
    }
}
