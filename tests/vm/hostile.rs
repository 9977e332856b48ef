//! Containers that mean harm: to the agent, which must go on answering; to their pod; to what is left when they have gone.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{Stdio, VmProcess};
use lcow_protocol::{ContainerId, HResult};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::pods::{create, end, mount, output, sandbox, start, workload};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("hostile", lab)
        .test("a_pipe_for_a_list_of_users_is_not_waited_for", pipe)
        .test("a_link_in_what_a_pod_shares_leads_nowhere", link)
        .test("directories_deeper_than_paths_are_long_are_removed", deep)
        .test("two_hundred_processes_with_streams_at_once", descriptors)
        .test("a_bundle_of_another_container_is_left_alone", bundle)
        .test("a_bundle_is_one_containers_while_that_is_being_created", bundle_twice)
        .test("a_terminal_belongs_to_its_user", terminal)
        .test("a_process_whose_terminal_cannot_be_its_users_does_not_run", no_terminal)
        .test("output_that_was_given_away_does_not_hold_up_a_status", given_away)
        .test("recursive_propagation_is_understood", propagation)
}

async fn pipe(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let script = "busybox rm /etc/passwd && busybox mkfifo /etc/passwd && echo ready && exec sleep 1000";
    let container = lab.container().await?.script(script);
    container.create(&uvm).await?;
    let mut init = uvm.container_start(&container.id, Stdio::OUTPUT).await?;
    let mut ready = [0; 6];
    init.stdout.as_mut().context("asked for")?.read_exact(&mut ready).await?;
    let process = json!({"args": ["/bin/true"], "cwd": "/", "user": {"username": "web"}});
    let refused = refusal(uvm.container_exec(&container.id, process, Stdio::default()).await);
    ensure!(refused == Some(HResult::FAIL), "{refused:?}");
    lab.shell("true").await?;
    end(&uvm, &container, init).await
}

async fn link(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    let mut first = workload(&lab, &pod, "busybox ln -s / /data/root && touch /data/file").await?;
    mount(&mut first, "sandbox://shared", "/data", &json!(["rbind", "rw"]));
    output(&lab, &first).await?;
    for path in ["sandbox://shared/root", "sandbox://shared/root/run", "sandbox://shared/root/new"] {
        let mut second = workload(&lab, &pod, "true").await?;
        mount(&mut second, path, "/data", &json!(["rbind"]));
        ensure!(refusal(create(&uvm, &second).await) == Some(HResult::FAIL), "{path}");
    }
    lab.shell("test ! -e /new").await?;
    let mut third = workload(&lab, &pod, "test -f /data").await?;
    mount(&mut third, "sandbox://shared/file", "/data", &json!(["rbind"]));
    output(&lab, &third).await?;
    end(&uvm, &pod, init).await
}

async fn deep(lab: Arc<Lab>) -> Result<()> {
    let script = "p=a; for i in 1 2 3 4 5 6 7 8 9 10; do p=$p/$p; done
        busybox mkdir -p /tmp/$p && cd /tmp/$p && for i in 1 2 3; do busybox mkdir -p $p && cd $p; done; touch end && echo made";
    let container = lab.container().await?.script(script);
    let made = output(&lab, &container).await?;
    ensure!(made == "made\n", "{made}");
    lab.shell(&format!("test ! -e {}", container.bundle)).await.map(drop)
}

async fn descriptors(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    let process = json!({"args": ["/bin/cat"], "cwd": "/"});
    let mut running = Vec::new();
    for number in 0..200 {
        let exec = uvm.container_exec(&container.id, process.clone(), Stdio::ALL).await;
        running.push(exec.with_context(|| format!("process {number}"))?);
    }
    lab.shell("true").await?;
    end(&uvm, &container, init).await
}

async fn bundle(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    let mut other = lab.container().await?;
    other.bundle.clone_from(&container.bundle);
    ensure!(refusal(create(&uvm, &other).await) == Some(HResult::FAIL));
    let process = json!({"args": ["/bin/true"], "cwd": "/"});
    let exec = uvm.container_exec(&container.id, process, Stdio::default()).await?;
    ensure!(exec.wait().await? == 0);
    end(&uvm, &container, init).await
}

async fn bundle_twice(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let first = lab.container().await?;
    let second = LabContainer { id: ContainerId(lab.unique("twin")), ..first.clone() };
    let (one, other) = tokio::join!(create(&uvm, &first), create(&uvm, &second));
    let (created, refused) = match (one, other) {
        (Ok(()), Err(refused)) => (first, refused),
        (Err(refused), Ok(())) => (second, refused),
        both => anyhow::bail!("one of two should have been refused: {both:?}"),
    };
    let owned = format!("is container {}'s", created.id);
    ensure!(refused.to_string().contains(&owned), "{refused}");
    // The refusal has taken nothing of it away.
    let output = uvm.container_start(&created.id, Stdio::OUTPUT).await?.output().await?;
    ensure!(output.stdout == b"hello\n", "{output:?}");
    uvm.container_delete(&created.id).await?;
    Ok(())
}

async fn terminal(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let script = "echo one > /dev/pts/0; ls -ln /dev/pts/0; exec sleep 1000";
    let mut container = lab.container().await?.script(script);
    let user = json!({"uid": 1000, "gid": 50});
    container.spec["process"]["terminal"] = json!(true);
    container.spec["process"]["user"] = user.clone();
    container.create(&uvm).await?;
    let stdio = Stdio { stdin: false, stdout: true, stderr: false };
    let mut init = uvm.container_start(&container.id, stdio).await?;
    let mut text = vec![0; 30];
    init.stdout.as_mut().context("asked for")?.read_exact(&mut text).await?;
    let text = String::from_utf8(text)?;
    ensure!(text.starts_with("one\r\ncrw--w----") && text.contains(" 1000 "), "{text:?}");
    let process =
        json!({"args": ["/bin/ls", "-ln", "/dev/pts/1"], "cwd": "/", "terminal": true, "user": user});
    let output = uvm.container_exec(&container.id, process, stdio).await?.output().await?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains(" 1000 "), "{text:?}");
    end(&uvm, &container, init).await
}

async fn no_terminal(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let mounts = container.spec["mounts"].as_array_mut().context("mounts")?;
    let terminals = mounts.iter_mut().find(|mount| mount["type"] == "devpts").context("terminals")?;
    terminals["options"].as_array_mut().context("options")?.push(json!("ro"));
    let init = start(&uvm, &container).await?;
    let process = json!({"args": ["/bin/touch", "/tmp/ran"], "cwd": "/", "terminal": true, "user": {"uid": 0, "gid": 0}});
    let refused = uvm.container_exec(&container.id, process, Stdio::default()).await.map(drop);
    let text = refused.err().context("it was run")?.to_string();
    ensure!(text.contains("receiving a terminal") && text.contains("Read-only file system"), "{text}");
    lab.shell(&format!("test ! -e {}/rootfs/tmp/ran", container.bundle)).await?;
    end(&uvm, &container, init).await
}

async fn given_away(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    for terminal in [false, true] {
        let mut container = lab.container().await?.script("echo hello; exec sleep 1000");
        container.spec["process"]["terminal"] = json!(terminal);
        container.create(&uvm).await?;
        let stdio = Stdio { stdin: false, stdout: true, stderr: false };
        let mut init = uvm.container_start(&container.id, stdio).await?;
        let mut text = [0; 5];
        init.stdout.as_mut().context("asked for")?.read_exact(&mut text).await?;
        ensure!(&text == b"hello");
        // As somebody in another container has it that was sent it.
        let script = format!("exec 5> /proc/{}/fd/1 && echo ready && exec sleep 1000", init.pid);
        let mut other = uvm.exec(VmProcess::new(["/bin/sh", "-c", &script])).await?;
        let mut ready = [0; 6];
        other.stdout.as_mut().context("asked for")?.read_exact(&mut ready).await?;
        init.signal(None).await?;
        let output = init.output().await?;
        ensure!(output.status == 137 && output.stdout.trim_ascii().is_empty(), "{terminal}: {output:?}");
        uvm.container_delete(&container.id).await?;
        other.signal(None).await?;
        ensure!(other.wait().await? == 137);
    }
    Ok(())
}

async fn propagation(lab: Arc<Lab>) -> Result<()> {
    for word in ["rslave", "rprivate", "rshared", "slave"] {
        let mut container = lab.container().await?;
        container.spec["linux"]["rootfsPropagation"] = json!(word);
        ensure!(output(&lab, &container).await? == "hello\n", "{word}");
    }
    Ok(())
}
