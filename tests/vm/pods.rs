//! Pods: a sandbox container and its workloads, what they share, and what they may use.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{GuestError, Process, Stdio};
use host_bridge::uvm::{BootPlan, Uvm};
use host_bridge::vmm::{MacAddress, Nic};
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{GetProperties, ModifyRequest, ModifySettings, PropertyQuery};
use lcow_protocol::{ContainerId, HResult};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::{Value, json};

use crate::storage::modify;

pub(crate) const KIND: &str = "io.kubernetes.cri.container-type";
pub(crate) const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";
const NAMESPACE: &str = "4C4D8B2E-1111-2222-3333-444455556666";

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("pods", lab)
        .test("a_workload_uses_what_its_pod_shares", shared)
        .test("a_failed_sandbox_leaves_nothing", failed_sandbox)
        .test("a_privileged_container_has_the_devices_of_the_vm", privileged)
        .test("output_is_copied_to_the_pods_logs", tee)
        .test("statistics_count_what_was_killed_for_memory", statistics)
        .test("limits_of_a_running_container_change", constraints)
        .test("adapters_move_to_their_pod", network)
        .test("five_hundred_containers_leave_nothing_behind", many)
}

/// A pod without a network.
pub(crate) async fn sandbox(lab: &Lab) -> Result<LabContainer> {
    let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.spec["annotations"] = json!({KIND: "sandbox", "io.microsoft.cri.skip-pod-networking": "true"});
    Ok(container)
}

pub(crate) async fn workload(lab: &Lab, pod: &LabContainer, script: &str) -> Result<LabContainer> {
    let mut container = lab.container().await?.script(script);
    container.spec["annotations"] = json!({KIND: "container", SANDBOX: pod.id.as_str()});
    container.spec.as_object_mut().context("an object")?.remove("hostname");
    Ok(container)
}

pub(crate) fn mount(container: &mut LabContainer, source: &str, destination: &str, options: &Value) {
    let mount = json!({"destination": destination, "type": "bind", "source": source, "options": options});
    if let Some(mounts) = container.spec["mounts"].as_array_mut() {
        mounts.push(mount);
    }
}

pub(crate) async fn start(uvm: &Uvm, container: &LabContainer) -> Result<Process> {
    container.create(uvm).await?;
    uvm.container_start(&container.id, Stdio::default()).await.context("starting")
}

pub(crate) async fn end(uvm: &Uvm, container: &LabContainer, init: Process) -> Result<()> {
    init.signal(None).await?;
    ensure!(init.wait().await? == 137);
    uvm.container_delete(&container.id).await.context("deleting")
}

pub(crate) async fn output(lab: &Lab, container: &LabContainer) -> Result<String> {
    let output = container.run(lab).await?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status == 0, "exited with {}: {error}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

async fn shared(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    let script = "cat /etc/hostname; echo seen > /data/file; echo short > /fast/file; mount | grep ' /dev/shm '; cat /uvm/file; id -u";
    let mut first = workload(&lab, &pod, script).await?;
    first.spec["annotations"]["io.microsoft.lcow.shm.size-kb"] = json!("2048");
    first.spec["process"]["user"] = json!({"uid": 0, "gid": 0, "username": "web"});
    lab.shell("mkdir -p /var/lab/uvm && echo outside > /var/lab/uvm/file").await?;
    mount(&mut first, "sandbox://shared/data", "/data", &json!(["rbind", "rw"]));
    mount(&mut first, "sandbox-tmp://t", "/fast", &json!(["rbind", "rw"]));
    mount(&mut first, "uvm:///var/lab/uvm", "/uvm", &json!(["rbind", "ro"]));
    let text = output(&lab, &first).await?;
    ensure!(
        text.starts_with("lab\n") && text.contains("size=2048k") && text.ends_with("outside\n1000\n"),
        "{text}"
    );
    let mut second = workload(&lab, &pod, "cat /data/file /fast/file; grep -c lab /etc/hosts").await?;
    mount(&mut second, "sandbox://shared/data", "/data", &json!(["rbind", "ro"]));
    mount(&mut second, "sandbox-tmp:///t", "/fast", &json!(["rbind"]));
    let text = output(&lab, &second).await?;
    ensure!(text == "seen\nshort\n1\n", "{text}");
    let mut stray = workload(&lab, &pod, "true").await?;
    mount(&mut stray, "sandbox://../logs", "/x", &json!(["rbind"]));
    ensure!(refusal(create(&uvm, &stray).await) == Some(HResult::FAIL), "a path out of the pod");
    let cgroup = format!("/sys/fs/cgroup/pods/{}", pod.id);
    lab.shell(&format!("test -d {cgroup}/{0}", pod.id)).await?;
    end(&uvm, &pod, init).await?;
    lab.shell(&format!("test ! -e {cgroup} && test ! -e {}", pod.bundle)).await?;
    let orphan = workload(&lab, &pod, "true").await?;
    ensure!(refusal(create(&uvm, &orphan).await) == Some(HResult::FAIL), "a workload without its pod");
    // Other pods come and go meanwhile.
    lab.shell(&format!("! grep -q {}/ /proc/mounts", pod.bundle)).await?;
    Ok(())
}

pub(crate) async fn create(uvm: &Uvm, container: &LabContainer) -> Result<(), GuestError> {
    uvm.container_create(&container.id, &container.bundle, container.spec.clone(), None).await
}

async fn failed_sandbox(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut pod = lab.container().await?.args(&["/bin/sleep", "1000"]);
    pod.spec["annotations"] = json!({KIND: "sandbox"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": "00000000-1111-0000-0000-000000000000"}});
    ensure!(refusal(create(&uvm, &pod).await) == Some(HResult::NOT_FOUND), "an unknown network namespace");
    // Fails after everything that is shared was set up.
    let late = sandbox(&lab).await?.args(&["/no/such/program"]);
    ensure!(refusal(create(&uvm, &late).await) == Some(HResult::FILE_NOT_FOUND));
    for gone in [&pod, &late] {
        lab.shell(&format!(
            "test ! -e {0} && test ! -e /sys/fs/cgroup/pods/{1} && ! grep -q {0} /proc/mounts",
            gone.bundle, gone.id
        ))
        .await?;
    }
    Ok(())
}

pub(crate) async fn privileged(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    let script = "test -c /dev/kmsg && test -c /dev/null && dd if=/dev/zero of=/dev/null bs=1 count=1 2>/dev/null && mknod /tmp/k c 1 11 && test -c /tmp/k && echo all";
    let mut container = workload(&lab, &pod, script).await?;
    container.spec["annotations"]["io.microsoft.virtualmachine.lcow.privileged"] = json!("true");
    for set in ["bounding", "effective", "permitted"] {
        container.spec["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
    }
    lab.shell(&format!("ln -s busybox {}/rootfs/bin/test", container.bundle)).await?;
    ensure!(output(&lab, &container).await? == "all\n");
    end(&uvm, &pod, init).await
}

async fn tee(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    let mut container = workload(&lab, &pod, "echo out; echo err >&2; ls /logs").await?;
    container.spec["annotations"]["io.microsoft.container.lcow.tee-log-path"] = json!("web/0.log");
    container.spec["annotations"]["io.microsoft.container.lcow.tee-log-dir-mount"] = json!("/logs");
    ensure!(output(&lab, &container).await? == "out\nweb\n");
    let log = lab.shell(&format!("sort {}/logs/web/0.log", pod.bundle)).await?.stdout;
    ensure!(log == b"err\nout\nweb\n", "{}", String::from_utf8_lossy(&log));
    end(&uvm, &pod, init).await
}

pub(crate) async fn metrics(uvm: &Uvm, id: &ContainerId) -> Result<Value> {
    let query = Stringified(PropertyQuery { property_types: vec!["Statistics".to_owned()] });
    uvm.guest().call(id, GetProperties { query }).await?.properties.0.metrics.context("no statistics")
}

pub(crate) async fn statistics(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    // More than is allowed, in one piece.
    let mut container = lab.container().await?.script("dd if=/dev/zero of=/dev/null bs=64M count=1");
    container.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20});
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    init.wait().await?;
    let metrics = metrics(&uvm, &container.id).await?;
    ensure!(metrics["memory"]["usage"]["limit"] == 16 << 20, "{metrics}");
    ensure!(metrics["memory_oom_control"]["oom_kill"].as_u64() >= Some(1), "{metrics}");
    ensure!(metrics["cpu"]["usage"]["total"].as_u64() > Some(0), "{metrics}");
    let (lines, mut further) = uvm.guest().logs().subscribe();
    let says = |line: &str| line.contains("exceeded threshold");
    if !lines.iter().any(|line| says(line.message())) {
        let wait = async {
            while !says(further.recv().await?.message()) {}
            anyhow::Ok(())
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), wait)
            .await
            .context("no line in the log")??;
    }
    uvm.container_delete(&container.id).await?;
    Ok(())
}

pub(crate) async fn update_constraints(
    uvm: &Uvm,
    id: ContainerId,
    settings: Value,
) -> Result<(), GuestError> {
    let request = ModifyRequest {
        request_type: "Update".into(),
        resource_type: "ContainerConstraints".into(),
        settings,
    };
    uvm.guest().call(&id, ModifySettings { request }).await.map(drop)
}

async fn constraints(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    let limits = json!({"Windows": {}, "Linux": {"memory": {"limit": 33_554_432}, "cpu": {"quota": 20_000, "period": 100_000}}});
    update_constraints(&uvm, container.id.clone(), limits.clone()).await?;
    let cgroup = format!("/sys/fs/cgroup/pods/{}", container.id);
    let text = lab.shell(&format!("cd {cgroup} && cat memory.max cpu.max")).await?.stdout;
    ensure!(text == b"33554432\n20000 100000\n", "{}", String::from_utf8_lossy(&text));
    ensure!(
        refusal(update_constraints(&uvm, container.id.clone(), Value::Null).await)
            == Some(HResult::INVALID_JSON)
    );
    ensure!(
        refusal(update_constraints(&uvm, ContainerId("nobody".into()), limits).await)
            == Some(HResult::SYSTEM_NOT_FOUND)
    );
    end(&uvm, &container, init).await
}

/// A script that serves one connection, makes it at an address of its own, and prints what it hears.
pub(crate) fn talk(address: &str) -> String {
    format!(
        "echo heard | busybox nc -l -p 7000 >/dev/null & for attempt in $(seq 200); do \
         busybox nc {address} 7000 </dev/null 2>/dev/null && break; done; kill $! 2>/dev/null; wait"
    )
}

async fn network(_: Arc<Lab>) -> Result<()> {
    let nics = [0, 1].map(|index| Nic { mac: MacAddress::default_for(index) });
    let lab = Lab::with_plan(BootPlan { nics: nics.to_vec(), ..Lab::plan() })?;
    let uvm = lab.uvm().await?;
    let first = json!({"NamespaceID": NAMESPACE, "ID": "9A5E0B7C-0000-4000-8000-000000000001",
        "MacAddress": "00-15-5D-00-00-00", "DNSSuffix": "corp.example", "DNSServerList": "10.0.2.3", "EncapOverhead": 50,
        "PolicyBasedRouting": true,
        "IPConfigs": [{"IPAddress": "10.0.2.15", "PrefixLength": 24}, {"IPAddress": "fd00::15", "PrefixLength": 64}],
        "Routes": [{"NextHop": "10.0.2.2", "DestinationPrefix": "0.0.0.0/0"}, {"NextHop": "fd00::1", "DestinationPrefix": "::/0", "Metric": 7}]});
    modify(&uvm, "Add", "Network", first.clone()).await?;
    ensure!(
        refusal(modify(&uvm, "Add", "Network", first.clone()).await) == Some(HResult::FAIL),
        "the adapter is known"
    );
    let mut pod = lab.container().await?.args(&["/bin/sleep", "1000"]);
    pod.spec["annotations"] = json!({KIND: "sandbox"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": NAMESPACE.to_lowercase()}});
    let init = start(&uvm, &pod).await?;
    let show = "cat /etc/resolv.conf; busybox ip -o addr; busybox ip route; busybox ip -6 route; busybox ip link; busybox ip rule; busybox ip route show table 101";
    let mut container = workload(&lab, &pod, &format!("{show}; {}", talk("10.0.2.15"))).await?;
    container
        .leave("network")?
        .push(json!({"type": "network", "path": format!("/proc/{}/ns/net", init.pid)}));
    let text = output(&lab, &container).await?;
    for part in [
        "search corp.example\nnameserver 10.0.2.3\n",
        "10.0.2.15/24",
        "fd00::15/64",
        "default via 10.0.2.2 dev eth0",
        "default via fd00::1 dev eth0",
        "mtu 1450",
        "heard",
    ] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    // One that is plugged in now would be called like the first, which has left. Its gateway is not in its network.
    lab.shell("busybox ip link set eth1 down && busybox ip link set eth1 name eth0").await?;
    let second = json!({"NamespaceID": NAMESPACE, "ID": "9a5e0b7c-0000-4000-8000-000000000002",
        "MacAddress": "00-15-5D-00-00-01", "PolicyBasedRouting": true,
        "IPConfigs": [{"IPAddress": "10.0.3.15", "PrefixLength": 24}],
        "Routes": [{"NextHop": "10.9.9.1", "DestinationPrefix": "0.0.0.0/0"}]});
    modify(&uvm, "Add", "Network", second).await?;
    let again = workload(&lab, &pod, show).await?;
    let again = LabContainer {
        spec: {
            let mut spec = again.spec.clone();
            spec["linux"]["namespaces"] = container.spec["linux"]["namespaces"].clone();
            spec
        },
        ..again
    };
    let text = output(&lab, &again).await?;
    for part in ["10.0.2.15/24", "10.0.3.15/24", "from 10.0.3.15 lookup 101", "default via 10.9.9.1 dev eth1"]
    {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    end(&uvm, &pod, init).await?;
    modify(&uvm, "Remove", "Network", first).await?;
    // They come back to the VM when the kernel has taken the namespace down.
    lab.shell("until test -e /sys/class/net/eth0 && test -e /sys/class/net/eth1; do true; done").await?;
    Ok(())
}

/// What a container could leave behind, as one line each. The kernel's own threads, children of 2, come and go.
const COUNT: &str = "wc -l < /proc/mounts; ls /sys/fs/cgroup/pods | grep -c leak; ls /run/gcsrunc | wc -l; \
    agent=$(for p in /proc/[0-9]*; do read name < $p/comm && [ $name = gcs ] && echo ${p#/proc/}; done | sort -n | head -1); \
    ls /proc/$agent/fd | wc -l; grep -L '^PPid:.2$' /proc/[0-9]*/status 2>/dev/null | wc -l; true";

async fn many(lab: Arc<Lab>) -> Result<()> {
    const CONTAINERS: u32 = 500;
    // A machine of its own: others come and go in the shared one.
    let own = Lab::with_plan(Lab::plan())?;
    drop(lab);
    let uvm = own.uvm().await?;
    // One root for all: copying it would take longer than the containers do.
    let root = own.container().await?.spec["root"].clone();
    let run = async || {
        let id = own.unique("leak");
        let mut container = LabContainer::at(id.clone(), format!("/var/lab/{id}"));
        container.spec["root"] = root.clone();
        let output = container.run(&own).await?;
        ensure!(output.stdout == b"hello\n" && output.status == 0, "{output:?}");
        anyhow::Ok(())
    };
    run().await?;
    let before = String::from_utf8(own.shell(COUNT).await?.stdout)?;
    for number in 1..CONTAINERS {
        run().await.with_context(|| format!("container {number}"))?;
    }
    // The worker that took the last container down may just be ending; what stays is a leak.
    let mut after = String::new();
    for _ in 0..20 {
        after = String::from_utf8(own.shell(COUNT).await?.stdout)?;
        if before == after {
            break;
        }
    }
    ensure!(before == after, "before {before}after {after}");
    drop(uvm);
    Ok(())
}
