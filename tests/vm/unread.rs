//! A host that has a process's output connected and does not read it.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use lcow_protocol::messages::{DeleteContainerState, ShutdownForced, SignalProcess};
use lcow_protocol::{ContainerId, MessageType, ProcessId};
use lcow_tests::Lab;
use lcow_tests::foreign::{Bridge, ForeignHost, Stream};
use lcow_tests::suite::Suite;
use serde_json::{Value, json};

use crate::reconnect::{Running, exec, run, shell, wait};

/// Writes for ever, 64 KiB at a time, and counts that in a file.
const WRITER: &str = "while dd if=/dev/zero bs=65536 count=1 2>/dev/null; do echo x >> /tmp/written; done";

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("unread", lab)
        .sharing(|| ForeignHost::boot(&[]))
        .test("output_that_nobody_reads_does_not_outlive_a_forced_shutdown", |host| Box::pin(forced(host)))
        .test("output_that_nobody_reads_does_not_outlive_its_container", |host| Box::pin(deleted(host)))
        .test("a_vm_level_process_whose_output_nobody_reads_can_be_ended", |host| Box::pin(vm_level(host)))
        .done()
}

/// Takes frames until these requests are answered and `notified` containers have ended.
async fn answers(bridge: &mut Bridge, ids: &[u64], notified: usize) -> Result<HashMap<u64, Value>> {
    let (mut answers, mut ended) = (HashMap::new(), 0);
    while answers.len() < ids.len() || ended < notified {
        let (header, body) = bridge.receive().await?;
        if header.message_type == MessageType::CONTAINER_NOTIFICATION {
            ended += 1;
            continue;
        }
        ensure!(ids.contains(&header.id) && body["Result"] == 0, "{header:?} {body}");
        answers.insert(header.id, body);
    }
    ensure!(ended == notified, "{ended} notifications");
    Ok(answers)
}

/// Waits until what a writer has counted in `file` grows no more: everything between it and the host is full.
async fn full(host: &mut ForeignHost, bridge: &mut Bridge, file: &str) -> Result<()> {
    let count = format!("wc -l < {file} 2>/dev/null; true");
    let mut before = String::new();
    loop {
        let now = shell(host, bridge, &count).await?;
        if !now.is_empty() && now == before {
            return Ok(());
        }
        before = now;
    }
}

/// How many descriptors the agent has.
async fn descriptors(host: &mut ForeignHost, bridge: &mut Bridge) -> Result<u32> {
    let count =
        "for p in /proc/[0-9]*; do [ \"$(cat $p/comm 2>/dev/null)\" = gcs ] && ls $p/fd | wc -l; done; true";
    let text = shell(host, bridge, count).await?;
    text.trim().parse().with_context(|| format!("a number: {text:?}"))
}

/// A container and an exec in it that have written all that fits.
struct Stuck {
    container: Running,
    exec: (u64, tokio::net::UnixStream),
}

async fn stuck(host: &mut ForeignHost, bridge: &mut Bridge, name: &str) -> Result<Stuck> {
    let container = run(host, bridge, name, WRITER).await?;
    let written = format!("/var/lab/{name}/rootfs/tmp/written");
    full(host, bridge, &written).await?;
    let process = json!({
        "args": ["/bin/sh", "-c", WRITER.replace("written", "more")],
        "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
    });
    let exec = exec(host, bridge, &container.id, process).await?;
    full(host, bridge, &written.replace("written", "more")).await?;
    Ok(Stuck { container, exec })
}

async fn forced(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let before = descriptors(host, &mut bridge).await?;
    let Stuck { container, exec } = stuck(host, &mut bridge, "forced").await?;
    let init_wait = bridge.request(&container.id, wait(container.pid)).await?;
    let exec_wait = bridge.request(&container.id, wait(exec.0)).await?;
    let shutdown = bridge.request(&container.id, ShutdownForced {}).await?;
    let answers = answers(&mut bridge, &[init_wait, exec_wait, shutdown], 1).await?;
    ensure!(answers[&init_wait]["ExitCode"] == 137 && answers[&exec_wait]["ExitCode"] == 137, "{answers:?}");
    let delete = bridge.request(&container.id, DeleteContainerState {}).await?;
    ensure!(bridge.answer(delete).await?["Result"] == 0);
    // The host keeps its ends to the last.
    ensure!(descriptors(host, &mut bridge).await? == before);
    drop((container, exec));
    Ok(())
}

async fn deleted(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let before = descriptors(host, &mut bridge).await?;
    let Stuck { container, exec } = stuck(host, &mut bridge, "deleted").await?;
    let init_wait = bridge.request(&container.id, wait(container.pid)).await?;
    let exec_wait = bridge.request(&container.id, wait(exec.0)).await?;
    let kill = SignalProcess { process_id: ProcessId(u32::try_from(container.pid)?), options: None };
    let kill = bridge.request(&container.id, kill).await?;
    // The signal is sent before it is answered, and the process has no say in its end.
    answers(&mut bridge, &[kill], 0).await?;
    let delete = loop {
        let asked = bridge.request(&container.id, DeleteContainerState {}).await?;
        let (_, body) = bridge.receive().await?;
        match body["Result"].as_i64() {
            Some(0) => break body,
            _ => ensure!(
                body["ErrorMessage"].as_str().is_some_and(|text| text.contains("still running")),
                "{asked} {body}"
            ),
        }
    };
    let answers = answers(&mut bridge, &[init_wait, exec_wait], 1).await?;
    ensure!(answers[&init_wait]["ExitCode"] == 137, "{answers:?} {delete}");
    ensure!(descriptors(host, &mut bridge).await? == before);
    drop((container, exec));
    Ok(())
}

async fn vm_level(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let before = descriptors(host, &mut bridge).await?;
    let script = WRITER.replace("written", "vm-level");
    let (pid, stdout) = host.shell(&mut bridge, &script, Stream::Output).await?;
    full(host, &mut bridge, "/tmp/vm-level").await?;
    let null = ContainerId::null();
    let asked = bridge.request(&null, wait(pid)).await?;
    let kill = SignalProcess { process_id: ProcessId(u32::try_from(pid)?), options: None };
    let kill = bridge.request(&null, kill).await?;
    let answers = answers(&mut bridge, &[asked, kill], 0).await?;
    ensure!(answers[&asked]["ExitCode"] == 137, "{answers:?}");
    ensure!(descriptors(host, &mut bridge).await? == before);
    drop(stdout);
    Ok(())
}
