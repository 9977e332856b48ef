//! `ResizeConsole` (spec section 5.7); for processes of the VM as well.

use std::rc::Rc;

use lcow_protocol::HResult;
use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{Empty, ResizeConsole};

use super::find_process;
use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: ResizeConsole,
) -> Result<Reply<Empty>, Failure> {
    let process = find_process(&agent, &base.container_id, message.process_id)?;
    match process.resize(message.height, message.width) {
        Some(Ok(())) => Ok(Empty {}.into()),
        Some(Err(error)) => Err(Failure::new(HResult::FAIL, &error)),
        None => {
            let text = format!("pid: {}, is not a tty and cannot be resized", message.process_id);
            Err(Failure::text(HResult::FAIL, text))
        }
    }
}
