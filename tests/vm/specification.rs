//! What a specification says is what a container gets: mounts, devices, environment, system calls.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer};
use serde_json::{Value, json};

use crate::pods::{mount, output};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("specification", lab).test("links_that_lead_nowhere_are_mounted_on", dangling_links)
}

/// Appends to the specification's mounts.
fn add_mount(container: &mut LabContainer, mount: Value) -> Result<()> {
    container.spec["mounts"].as_array_mut().context("mounts")?.push(mount);
    Ok(())
}

async fn dangling_links(lab: Arc<Lab>) -> Result<()> {
    let shared = lab.unique("/var/lab/shared");
    lab.shell(&format!("mkdir -p {shared} && echo inside > {shared}/file")).await?;
    let script = "cat /etc/hostname /data/file; grep -c lab /nowhere/hosts; \
        grep -o ' /run/systemd/resolve/stub-resolv.conf ' /proc/mounts";
    for run_is_memory in [false, true] {
        let mut container = lab.container().await?.script(script);
        let links = format!(
            "cd {}/rootfs && ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf && \
             ln -s /nowhere/hosts etc/hosts && ln -s missing/deeper data",
            container.bundle
        );
        lab.shell(&links).await?;
        if run_is_memory {
            add_mount(&mut container, json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs"}))?;
        }
        mount(&mut container, &shared, "/data", &json!(["rbind", "ro"]));
        let text = output(&lab, &container).await.with_context(|| format!("{run_is_memory}"))?;
        ensure!(text == "lab\ninside\n1\n /run/systemd/resolve/stub-resolv.conf \n", "{text}");
    }
    lab.shell("test ! -e /nowhere && test ! -e /missing").await?;
    Ok(())
}
