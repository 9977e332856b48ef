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
    let tables =
        [agent.requests.describe(), agent.vm_processes.describe(), agent.containers.describe(), threads()];
    for line in tables.into_iter().flatten() {
        let _ = writeln!(text, "{line}");
    }
    Ok(DumpStacksResponse { guest_stacks: truncated(&text, LIMIT) }.into())
}

/// The threads of this process and where in the kernel each of them sleeps (proc(5)).
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let line = |task: std::fs::DirEntry| {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        format!("thread {}: in {}", read("comm").trim(), read("wchan"))
    };
    tasks.map(line).collect()
}
