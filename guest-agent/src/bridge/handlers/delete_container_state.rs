//! `DeleteContainerState` (spec section 5.12).

use std::rc::Rc;

use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{DeleteContainerState, Empty};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::container;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    _: DeleteContainerState,
) -> Result<Reply<Empty>, Failure> {
    container::delete(&agent, &base.container_id).await?;
    Ok(Empty {}.into())
}
