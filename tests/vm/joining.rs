//! How processes begin: in containers that are not what they were, with streams nobody asked for, and not at all.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{Stdio, VmProcess};
use lcow_tests::Lab;
use lcow_tests::suite::Suite;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::pods::{end, output, start};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("joining", lab)
        .test("an_exec_joins_a_container_that_has_split_its_cgroup", split_cgroup)
        .test("what_nobody_wants_to_read_can_be_written", unwanted_output)
        .test("no_signal_is_blocked", signal_masks)
        .test("a_container_that_cannot_be_made_says_what_is_in_its_way", reasons)
}

fn process(args: &[&str]) -> Value {
    json!({"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}})
}

/// What systemd does in its container: moves to a cgroup of its own, so that controllers can be enabled for that.
async fn split_cgroup(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let script = "cd /sys/fs/cgroup && busybox mkdir -p deep/init && echo 1 > deep/init/cgroup.procs && \
        echo +pids > cgroup.subtree_control && echo up && exec sleep 1000";
    let mut container = lab.container().await?.script(script);
    let mounts = container.spec["mounts"].as_array_mut().context("mounts")?;
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    mounts.push(
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}),
    );
    container.create(&uvm).await?;
    let out = Stdio { stdout: true, ..Stdio::default() };
    let mut init = uvm.container_start(&container.id, out).await?;
    let mut ready = [0; 3];
    init.stdout.take().context("asked for")?.read_exact(&mut ready).await?;
    let exec =
        uvm.container_exec(&container.id, process(&["/bin/cat", "/proc/self/cgroup"]), Stdio::OUTPUT).await?;
    let seen = String::from_utf8(exec.output().await?.stdout)?;
    ensure!(seen.trim_end().ends_with("/deep/init"), "{seen}");
    let exec = uvm.container_exec(&container.id, process(&["/bin/sleep", "1000"]), Stdio::default()).await?;
    init.signal(None).await?;
    ensure!(exec.wait().await? == 137, "it ends with its container");
    ensure!(init.wait().await? == 137);
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn unwanted_output(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    let (none, out) = (Stdio::default(), Stdio { stdout: true, ..Stdio::default() });
    // As a child, because the shell itself would only be told of an error.
    let script = "cat /proc/self/status && cat /proc/self/status >&2";
    for (streams, what) in [(none, "none"), (out, "stdout")] {
        let exec = uvm.container_exec(&container.id, process(&["/bin/sh", "-c", script]), streams).await?;
        let output = exec.output().await?;
        ensure!(output.status == 0, "{what}: {}", output.status);
        ensure!(output.stdout.is_empty() != streams.stdout, "{what}");
    }
    let script =
        "cat && echo x > /proc/self/fd/2 && busybox stat -Lc %t:%T:%a:%u /proc/self/fd/0 /proc/self/fd/2";
    let mut user = process(&["/bin/sh", "-c", script]);
    user["user"] = json!({"uid": 1000, "gid": 1000});
    let output = uvm.container_exec(&container.id, user, out).await?.output().await?;
    let seen = String::from_utf8(output.stdout)?;
    ensure!(seen == "1:3:666:0\n1:3:666:0\n", "{seen}");
    end(&uvm, &container, init).await
}

async fn signal_masks(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let read = ["/bin/grep", "^SigBlk", "/proc/self/status"];
    let none = "SigBlk:\t0000000000000000\n";
    let seen = uvm.exec(VmProcess::new(read)).await?.output().await?.stdout;
    ensure!(seen == none.as_bytes(), "in the VM: {}", String::from_utf8_lossy(&seen));
    let seen = output(&lab, &lab.container().await?.args(&read)).await?;
    ensure!(seen == none, "init: {seen}");
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    let seen = uvm.container_exec(&container.id, process(&read), Stdio::OUTPUT).await?.output().await?.stdout;
    ensure!(seen == none.as_bytes(), "exec: {}", String::from_utf8_lossy(&seen));
    end(&uvm, &container, init).await
}

async fn reasons(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let no_disk = json!({"destination": "/x", "type": "ext4", "source": "/dev/null"});
    let nothing =
        json!({"destination": "/x", "type": "bind", "source": "/no/such/thing", "options": ["bind"]});
    let cases: [(Value, Value, &[&str]); 4] = [
        (no_disk, Value::Null, &["/x", "ENOTBLK"]),
        (nothing, Value::Null, &["/no/such/thing"]),
        (Value::Null, json!({"kernel.shmmax": "many"}), &["kernel.shmmax=many", "Invalid argument"]),
        (Value::Null, json!({"kernel.shmmax": "1", "kernel.no_such": "1"}), &["no kernel.no_such"]),
    ];
    for (mount, sysctl, words) in cases {
        let mut container = lab.container().await?;
        if !mount.is_null() {
            container.spec["mounts"].as_array_mut().context("mounts")?.push(mount);
        }
        container.spec["linux"]["sysctl"] = sysctl;
        let error = container.create(&uvm).await.err().context("it is created")?;
        let text = format!("{error:#}");
        ensure!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
    Ok(())
}
