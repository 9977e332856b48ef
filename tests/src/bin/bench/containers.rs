//! Containers on a root in the VM, with the system call filter that `lcow run` gives them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use host_bridge::guest::Stdio;
use lcow_tests::Lab;
use serde_json::json;

use crate::series::Results;

pub(crate) async fn measure(lab: &Arc<Lab>, runs: usize, results: &mut Results) -> Result<()> {
    let uvm = lab.uvm().await?;
    for run in 0..=2 * runs {
        let mut container = lab.container().await?.args(&["/bin/true"]);
        container.spec["linux"]["seccomp"] = lcow_oci::spec::seccomp::profile();
        let start = Instant::now();
        container.create(&uvm).await?;
        let created = start.elapsed();
        let status = uvm.container_start(&container.id, Stdio::default()).await?.wait().await?;
        // The first one in a boot makes the kernel and the agent do some things once.
        let (create, whole) = if run == 0 {
            ("create_first_ms", "create_start_exit_first_ms")
        } else {
            ("create_ms", "create_start_exit_ms")
        };
        results.add_ms(whole, start.elapsed());
        results.add_ms(create, created);
        ensure!(status == 0, "status {status}");
        let start = Instant::now();
        uvm.container_delete(&container.id).await?;
        results.add_ms("delete_ms", start.elapsed());
    }
    let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.spec["linux"]["seccomp"] = lcow_oci::spec::seccomp::profile();
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    let process =
        json!({"args": ["/bin/true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    for _ in 0..2 * runs {
        let start = Instant::now();
        let exec = uvm.container_exec(&container.id, process.clone(), Stdio::default()).await?;
        let status = exec.wait().await?;
        results.add_ms("exec_ms", start.elapsed());
        ensure!(status == 0, "status {status}");
    }
    init.signal(None).await?;
    init.wait().await?;
    Ok(uvm.container_delete(&container.id).await?)
}
