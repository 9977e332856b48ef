//! `WaitForProcess` (spec section 5.5).

use std::rc::Rc;
use std::time::Duration;

use lcow_protocol::HResult;
use lcow_protocol::envelope::RequestBase;
use lcow_protocol::messages::{INFINITE, WaitForProcess, WaitForProcessResponse};

use super::find_process;
use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    base: RequestBase,
    message: WaitForProcess,
) -> Result<Reply<WaitForProcessResponse>, Failure> {
    let process = find_process(&agent, &base.container_id, message.process_id)?;
    let guard = process.begin_wait();
    let status = if message.timeout_in_ms == INFINITE {
        process.wait().await
    } else {
        let limit = Duration::from_millis(message.timeout_in_ms.into());
        tokio::time::timeout(limit, process.wait()).await.map_err(|_| {
            let text =
                format!("process {} has not exited within {} ms", message.process_id, message.timeout_in_ms);
            Failure::text(HResult::TIMEOUT, text)
        })?
    };
    // Forgotten only once the host has the status, and nobody else still waits for it.
    let written = move || {
        if !process.has_other_waits() {
            agent.forget_process(&base.container_id, message.process_id);
        }
        drop(guard);
    };
    let response = WaitForProcessResponse { exit_code: status.cast_unsigned() };
    Ok(Reply::and_when_written(response, Box::new(written)))
}
