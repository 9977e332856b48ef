//! A workload container of a pod (spec section 7.6).

use super::prepare::{Order, Outcome};
use super::{Error, identity_files, pods, rewrite};

/// Makes the specification use what the pod shares.
pub(super) async fn prepare(order: &mut Order<'_>, pod: &str) -> Result<Outcome, Error> {
    let record = order.agent.pods.get(pod).ok_or_else(|| {
        Error::Invalid(format!("pod {pod} does not exist for workload container {}", order.id))
    })?;
    if own_hostname(order).is_some() {
        return Err(Error::Invalid("a workload container has its pod's hostname and no other".to_owned()));
    }
    rewrite::mounts(&mut order.spec, &record.root)?;
    identity_files::bind(&mut order.spec, &record.root)?;
    rewrite::shared_memory(&mut order.spec)?;
    rewrite::devices(&mut order.spec)?;
    let gpus = rewrite::assigned_devices(&mut order.spec).await?;
    order.adapt_process().await?;
    Ok(Outcome {
        gpus,
        root: record.root,
        cgroups_path: format!("{}/{}", pods::cgroups_path(pod), order.id),
        host_network: record.host_network,
        network: None,
    })
}

fn own_hostname<'a>(order: &'a Order<'_>) -> Option<&'a str> {
    order.spec["hostname"].as_str().filter(|name| !name.is_empty())
}
