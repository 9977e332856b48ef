//! A container without a pod (spec section 7.7).

use super::prepare::{Attachment, Order, Outcome};
use super::{Error, annotations, identity_files, pods, rewrite};

/// Gives the container identity files of its own; its mounts, devices and user are treated as a workload's.
pub(super) async fn prepare(order: &mut Order<'_>) -> Result<Outcome, Error> {
    let namespace = order.namespace();
    let resolv_conf = order.agent.network.resolv_conf(&namespace).transpose()?.unwrap_or_default();
    identity_files::write(&order.spec, order.bundle, Some(resolv_conf)).await?;
    rewrite::mounts(&mut order.spec, order.bundle)?;
    identity_files::bind(&mut order.spec, order.bundle)?;
    rewrite::shared_memory(&mut order.spec)?;
    rewrite::devices(&mut order.spec)?;
    let gpus = rewrite::assigned_devices(&mut order.spec).await?;
    order.adapt_process().await?;
    Ok(Outcome {
        gpus,
        root: order.bundle.to_owned(),
        cgroups_path: pods::cgroups_path(order.id.as_str()),
        host_network: annotations::flag(&order.spec, annotations::HOST_NETWORK),
        network: Some(Attachment {
            namespace,
            required: false,
            resolv_conf: order.bundle.join("resolv.conf"),
        }),
    })
}
