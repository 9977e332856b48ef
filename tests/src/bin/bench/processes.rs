//! Requests, processes of the VM, their output, and the agent's memory.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{GuestError, Stdio, VmProcess};
use lcow_protocol::messages::WaitForProcess;
use lcow_protocol::{ContainerId, ProcessId};
use lcow_tests::Lab;
use tokio::io::AsyncReadExt;

use crate::series::Results;

/// Output that is timed: large enough that starting the process does not matter.
const OUTPUT_MIB: u64 = 256;

pub(crate) async fn measure(lab: &Arc<Lab>, runs: usize, results: &mut Results) -> Result<()> {
    let uvm = lab.uvm().await?;
    memory(lab, results).await?;
    for _ in 0..10 * runs {
        let start = Instant::now();
        let request = WaitForProcess { process_id: ProcessId(4_000_000), timeout_in_ms: 0 };
        let answer = uvm.guest().call(&ContainerId::null(), request).await;
        results.add_ms("rpc_ms", start.elapsed());
        ensure!(matches!(answer, Err(GuestError::Refused { .. })), "{answer:?}");
    }
    for _ in 0..2 * runs {
        let start = Instant::now();
        let output = uvm.exec(VmProcess::new(["/bin/true"])).await?.output().await?;
        results.add_ms("vm_process_ms", start.elapsed());
        ensure!(output.status == 0, "{output:?}");
    }
    for _ in 0..runs {
        let count = format!("count={}", OUTPUT_MIB * 4);
        let stdio = Stdio { stdout: true, ..Stdio::default() };
        let start = Instant::now();
        let dd = VmProcess::new(["dd", "if=/dev/zero", "bs=256k", &count]).stdio(stdio);
        let mut process = uvm.exec(dd).await?;
        let mut stdout = process.stdout.take().context("asked for")?;
        let mut buffer = vec![0; 1 << 20];
        let mut received = 0_u64;
        loop {
            match stdout.read(&mut buffer).await? {
                0 => break,
                count => received += count as u64,
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        ensure!(process.wait().await? == 0 && received == OUTPUT_MIB << 20, "{received} bytes arrived");
        #[allow(clippy::cast_precision_loss)] // Far below 2^52.
        results.add("stdout_mb_s", received as f64 / 1e6 / seconds);
    }
    Ok(())
}

/// Resident memory of the agent's three processes, before any container.
async fn memory(lab: &Arc<Lab>, results: &mut Results) -> Result<()> {
    let script = "for pid in 1 $(pidof gcs) $(pidof gcs-workers); do \
                  echo $(sed -n 's/^Name:\t//p;s/^VmRSS:\t *\\([0-9]*\\) kB/\\1/p' /proc/$pid/status) $pid; done";
    let output = lab.shell(script).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    // Of several with one name the first: a child that is about to become another program still has its parent's.
    lines.sort_by_key(|line| line.rsplit(' ').next().and_then(|pid| pid.parse::<u32>().ok()));
    for line in lines {
        let mut words = line.split_whitespace();
        let (Some(name), Some(kb), Some(pid)) = (words.next(), words.next(), words.next()) else { continue };
        let key = match (name, pid) {
            (_, "1") => "pid1_rss_kb",
            ("gcs-workers", _) => "worker_parent_rss_kb",
            _ => "agent_rss_kb",
        };
        let seen = results.summaries().any(|(name, _)| name == key);
        if !seen {
            results.add(key, kb.parse().with_context(|| format!("{text:?}"))?);
        }
    }
    Ok(())
}
