//! `Create` (spec section 5.2).

use std::rc::Rc;

use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{Create, CreateResponse};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::container;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: Create,
) -> Result<Reply<CreateResponse>, Failure> {
    container::create(&agent, base, message.container_config.0).await?;
    Ok(CreateResponse::default().into())
}
