//! `ShutdownForced` (spec section 5.8): SIGKILL to a container's init, or power off.

use std::rc::Rc;

use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{Empty, ShutdownForced};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::container;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    _: ShutdownForced,
) -> Result<Reply<Empty>, Failure> {
    container::shutdown(&agent, &base.container_id, libc::SIGKILL).await?;
    Ok(Empty {}.into())
}
