//! `DumpStacks` (spec section 5.11): what the agent is busy with, as text for people.

use std::fmt::Write;
use std::rc::Rc;

use lcow_protocol::envelope::{RequestBase, truncated};
use lcow_protocol::messages::{DumpStacks, DumpStacksResponse};

use crate::bridge::Failure;
use crate::bridge::dispatch::Reply;
use crate::gcs::Agent;

/// In bytes; JSON may need six for one, and the frame must stay under 64 KiB.
const LIMIT: usize = 9 << 10;

pub(in crate::bridge) async fn handle(
    agent: Rc<Agent>,
    _: RequestBase,
    _: DumpStacks,
) -> Result<Reply<DumpStacksResponse>, Failure> {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(text, "frames waiting for a connection: {}", agent.outbound.parked());
    for line in agent.vm_processes.describe().into_iter().chain(agent.containers.describe()) {
        let _ = writeln!(text, "{line}");
    }
    Ok(DumpStacksResponse { guest_stacks: truncated(&text, LIMIT) }.into())
}
