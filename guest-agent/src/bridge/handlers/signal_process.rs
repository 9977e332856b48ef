//! `SignalProcess` (spec section 5.6); for processes of the VM as well.

use std::rc::Rc;

use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{Empty, SignalProcess};

use super::find_process;
use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: SignalProcess,
) -> Result<Reply<Empty>, Failure> {
    let process = find_process(&agent, &base.container_id, message.process_id)?;
    process.signal(&agent.runtime, message.signal()).await?;
    Ok(Empty {}.into())
}
