//! Containers that are something special: several pods in one VM, huge pages, the VM's own network, block devices.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::Stdio;
use host_bridge::uvm::{BootPlan, Uvm};
use host_bridge::vmm::{MacAddress, Nic};
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{GetProperties, PropertyQuery};
use lcow_protocol::{ContainerId, HResult};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::json;

use crate::devices::{plug, pull};
use crate::pods::{KIND, SANDBOX, create, end, mount, output, sandbox, start, talk, workload};
use crate::storage::{layer_disk, modify};

const VIRTUAL: &str = "io.microsoft.cri.virtual-pod-id";
const HOST_NETWORK: &str = "io.microsoft.virtualmachine.lcow.hostnetwork";

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("kinds", lab)
        .test("virtual_pods_share_a_vm_and_nothing_else", virtual_pods)
        .test("huge_pages_are_shared_in_a_pod", huge_pages)
        .test("a_pod_on_the_vms_network_sees_its_adapters", host_network)
        .test("the_vms_network_is_set_up_once_for_many", host_network_again)
        .test("a_workload_has_the_network_that_its_pod_has", own_network)
        .test("a_block_device_is_passed_through", block_devices)
        .test("every_process_of_a_container_is_listed", process_list)
        .test("containers_reach_themselves", loopback)
}

/// A pod of its own beside others.
async fn virtual_pod(lab: &Lab) -> Result<LabContainer> {
    let mut pod = sandbox(lab).await?;
    // Hosts say `container` and name the VM's first pod; the pod's own id decides.
    pod.spec["annotations"] = json!({KIND: "container", SANDBOX: "first", VIRTUAL: pod.id.as_str()});
    Ok(pod)
}

async fn virtual_workload(lab: &Lab, pod: &LabContainer, script: &str) -> Result<LabContainer> {
    let mut container = workload(lab, pod, script).await?;
    container.spec["annotations"] = json!({KIND: "container", SANDBOX: "first", VIRTUAL: pod.id.as_str()});
    mount(&mut container, "sandbox://shared", "/data", &json!(["rbind", "rw"]));
    Ok(container)
}

pub(crate) async fn virtual_pods(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let (first, mut second) = (virtual_pod(&lab).await?, virtual_pod(&lab).await?);
    second.spec["hostname"] = json!("second");
    let (one, two) = (start(&uvm, &first).await?, start(&uvm, &second).await?);
    for (pod, name) in [(&first, "lab"), (&second, "second")] {
        let script = "test ! -e /data/file && cat /etc/hostname > /data/file && cat /data/file";
        let container = virtual_workload(&lab, pod, script).await?;
        lab.shell(&format!("ln -s busybox {}/rootfs/bin/test", container.bundle)).await?;
        ensure!(output(&lab, &container).await? == format!("{name}\n"));
        let root = format!("/var/lab/virtual-pods/{}", pod.id);
        // With either version of cgroups.
        let cgroup = format!("find /sys/fs/cgroup -path '*/pods/{0}/{0}' | grep -q .", pod.id);
        lab.shell(&format!("grep -q {name} {root}/sandboxMounts/shared/file && {cgroup}")).await?;
    }
    let again = second.clone();
    ensure!(refusal(create(&uvm, &again).await) == Some(HResult::SYSTEM_ALREADY_EXISTS));
    end(&uvm, &first, one).await?;
    let gone = format!("/var/lab/virtual-pods/{}", first.id);
    lab.shell(&format!("test ! -e {gone} && ! grep -q {gone}/ /proc/mounts")).await?;
    lab.shell(&format!("! find /sys/fs/cgroup -name {} | grep .", first.id)).await?;
    // The other one goes on.
    let container = virtual_workload(&lab, &second, "cat /data/file").await?;
    ensure!(output(&lab, &container).await? == "second\n");
    end(&uvm, &second, two).await?;
    lab.shell("test ! -e /var/lab/virtual-pods").await?;
    let orphan = virtual_workload(&lab, &second, "true").await?;
    ensure!(refusal(create(&uvm, &orphan).await) == Some(HResult::FAIL), "a workload without its pod");
    Ok(())
}

async fn huge_pages(_: Arc<Lab>) -> Result<()> {
    // What pages are free must not change under the test.
    let lab = Lab::with_plan(BootPlan { append: "hugepages=8".to_owned(), ..Lab::plan() })?;
    let uvm = lab.uvm().await?;
    let free = async || -> Result<u32> {
        let text = lab.shell("grep HugePages_Free /proc/meminfo | grep -o '[0-9]*'").await?.stdout;
        Ok(String::from_utf8(text)?.trim().parse()?)
    };
    ensure!(free().await? == 8, "the kernel has reserved other pages than asked for");
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    let script = "busybox fallocate -l 4194304 /huge/file && mount | grep ' /huge '";
    let mut first = workload(&lab, &pod, script).await?;
    mount(&mut first, "hugepages://2M/data", "/huge", &json!(["rbind", "rw"]));
    let text = output(&lab, &first).await?;
    ensure!(text.contains("hugetlbfs") && text.contains("pagesize=2M"), "{text}");
    ensure!(free().await? == 6, "the file does not lie in huge pages");
    let mut second = workload(&lab, &pod, "busybox stat -c %s /huge/file").await?;
    mount(&mut second, "hugepages://2M/data", "/huge", &json!(["rbind", "ro"]));
    ensure!(output(&lab, &second).await? == "4194304\n");
    let mut other_size = workload(&lab, &pod, "true").await?;
    mount(&mut other_size, "hugepages://3M/data", "/huge", &json!(["rbind"]));
    ensure!(refusal(create(&uvm, &other_size).await) == Some(HResult::FAIL), "no page has 3 MiB");
    end(&uvm, &pod, init).await?;
    ensure!(free().await? == 8, "the pages were not given back");
    lab.shell("! grep hugetlbfs /proc/mounts | grep /var/lab").await?;
    Ok(())
}

async fn host_network(_: Arc<Lab>) -> Result<()> {
    let nics = vec![Nic { mac: MacAddress::default_for(0) }];
    let lab = Lab::with_plan(BootPlan { nics, ..Lab::plan() })?;
    let uvm = lab.uvm().await?;
    let namespace = "11111111-1111-2222-3333-444455556666";
    let adapter = json!({"NamespaceID": namespace, "ID": "01", "MacAddress": "00-15-5D-00-00-00",
        "DNSServerList": "10.0.2.3", "IPConfigs": [{"IPAddress": "10.0.2.15", "PrefixLength": 24}]});
    modify(&uvm, "Add", "Network", adapter).await?;
    let mut pod = sandbox(&lab).await?;
    pod.spec["annotations"] = json!({KIND: "sandbox", HOST_NETWORK: "true"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": namespace}});
    let init = start(&uvm, &pod).await?;
    // The pod decides; what a workload says for itself does not count.
    let container = workload(&lab, &pod, "busybox readlink /proc/self/ns/net; busybox ip -o addr").await?;
    let text = output(&lab, &container).await?;
    let vm = String::from_utf8(lab.shell("readlink /proc/self/ns/net").await?.stdout)?;
    ensure!(text.starts_with(&vm) && text.contains("10.0.2.15/24"), "{text} in the VM: {vm}");
    end(&uvm, &pod, init).await
}

/// A pod in the VM's own network, with the adapters of a namespace.
async fn on_the_vms_network(lab: &Lab, namespace: &str) -> Result<LabContainer> {
    let mut pod = sandbox(lab).await?;
    pod.spec["annotations"] = json!({KIND: "sandbox", HOST_NETWORK: "true"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": namespace}});
    Ok(pod)
}

async fn host_network_again(_: Arc<Lab>) -> Result<()> {
    let nics = vec![Nic { mac: MacAddress::default_for(0) }, Nic { mac: MacAddress::default_for(1) }];
    let lab = Lab::with_plan(BootPlan { nics, ..Lab::plan() })?;
    let uvm = lab.uvm().await?;
    let [own, other] = [7, 8].map(|last| format!("11111111-1111-2222-3333-44445555666{last}"));
    // A rule, routes of both kinds and families, and a gateway that is in none of its networks.
    let first = json!({"NamespaceID": own, "ID": "01", "MacAddress": "00-15-5D-00-00-00", "EncapOverhead": 50,
        "IPConfigs": [{"IPAddress": "10.0.2.15", "PrefixLength": 24}, {"IPAddress": "fd00::15", "PrefixLength": 64}],
        "Routes": [{"NextHop": "10.0.2.2", "DestinationPrefix": "0.0.0.0/0"},
            {"NextHop": "10.9.9.1", "DestinationPrefix": "10.7.0.0/16", "Metric": 5},
            {"NextHop": "", "DestinationPrefix": "10.8.0.0/16"}, {"NextHop": "fd00::1", "DestinationPrefix": "::/0"}]});
    let second = json!({"NamespaceID": own, "ID": "02", "MacAddress": "00-15-5D-00-00-01", "EnableLowMetric": true,
        "IPConfigs": [{"IPAddress": "10.0.3.15", "PrefixLength": 24}],
        "Routes": [{"NextHop": "10.0.3.2", "DestinationPrefix": "0.0.0.0/0"}]});
    let show = "ip -o addr | grep -o -e '10[.]0[.][0-9.]*/[0-9]*' -e 'fd00::[0-9]*/[0-9]*' | sort; ip route | sort; ip -6 route | grep fd00; ip rule; \
        ip route show table 101; cat /sys/class/net/eth0/mtu /sys/class/net/eth1/mtu";
    let state = async || anyhow::Ok(String::from_utf8(lab.shell(show).await?.stdout)?);
    modify(&uvm, "Add", "Network", first.clone()).await?;
    modify(&uvm, "Add", "Network", second.clone()).await?;
    let pod = on_the_vms_network(&lab, &own).await?;
    let init = start(&uvm, &pod).await?;
    let before = state().await?;
    for part in ["10.0.2.15/24", "fd00::15/64", "from 10.0.3.15 lookup 101", "10.8.0.0/16", "\n1450\n1500\n"]
    {
        ensure!(before.contains(part), "{part} is missing in {before}");
    }
    end(&uvm, &pod, init).await?;
    let after = on_the_vms_network(&lab, &own).await?;
    let after_init = start(&uvm, &after).await?;
    ensure!(state().await? == before, "with another one after it: {}instead of {before}", state().await?);
    let beside = on_the_vms_network(&lab, &own).await?;
    let beside_init = start(&uvm, &beside).await?;
    ensure!(state().await? == before, "with another one beside it: {}instead of {before}", state().await?);
    end(&uvm, &after, after_init).await?;
    end(&uvm, &beside, beside_init).await?;
    // What only looks the same is not there already.
    for settings in [&first, &second] {
        modify(&uvm, "Remove", "Network", settings.clone()).await?;
    }
    let mut rival = second;
    (rival["NamespaceID"], rival["EnableLowMetric"]) = (json!(other), json!(false));
    modify(&uvm, "Add", "Network", rival).await?;
    let pod = on_the_vms_network(&lab, &other).await?;
    let refused = create(&uvm, &pod).await.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("adding the route by default through eth1"), "{refused:?}");
    Ok(())
}

async fn own_network(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    let mut container = workload(&lab, &pod, "busybox readlink /proc/self/ns/net").await?;
    container.spec["annotations"][HOST_NETWORK] = json!("true");
    let text = output(&lab, &container).await?;
    let vm = String::from_utf8(lab.shell("readlink /proc/self/ns/net").await?.stdout)?;
    ensure!(text != vm, "a workload has left its pod's network: {text}");
    end(&uvm, &pod, init).await
}

async fn block_devices(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("disk");
    layer_disk(&path, &[("word", b"x")])?;
    let lun = plug(&uvm, &path, false).await?;
    let source = lab.unique("/run/mounts/scsi/block");
    let settings = json!({"MountPath": source, "Lun": lun.get(), "BlockDev": true});
    modify(&uvm, "Add", "MappedVirtualDisk", settings.clone()).await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    // The magic number of ext4 shows whose bytes they are.
    let read =
        "busybox dd if=/dev/data bs=1 skip=1080 count=2 2>/dev/null | busybox hexdump -e '1/2 \"%04x\\n\"'";
    let write = "dd if=/dev/zero of=/dev/data bs=512 count=1 2>&1";
    for (options, script, expected) in [
        (json!(["bind"]), format!("{write} | grep -q copied; {read}"), "ef53\n"),
        (
            json!(["bind", "ro"]),
            format!("{write} | grep -q -e permitted -e denied -e Read-only && {read}"),
            "ef53\n",
        ),
    ] {
        let mut container = workload(&lab, &pod, &script).await?;
        mount(&mut container, &source, "blockdev:///dev/data", &options);
        let text = output(&lab, &container).await.with_context(|| options.to_string())?;
        ensure!(text == expected, "{options}: {text:?}");
    }
    let mut missing = workload(&lab, &pod, "true").await?;
    mount(&mut missing, "/run/mounts/scsi/none", "blockdev:///dev/data", &json!(["bind"]));
    ensure!(refusal(create(&uvm, &missing).await) == Some(HResult::FAIL), "there is no such device");
    end(&uvm, &pod, init).await?;
    modify(&uvm, "Remove", "MappedVirtualDisk", settings).await?;
    pull(&uvm, lun).await
}

async fn listed(uvm: &Uvm, id: &ContainerId) -> Result<Vec<u32>> {
    let query = Stringified(PropertyQuery { property_types: vec!["ProcessList".to_owned()] });
    let properties = uvm.guest().call(id, GetProperties { query }).await?.properties.0;
    Ok(properties.process_list.context("no list")?.iter().map(|entry| entry.process_id.0).collect())
}

pub(crate) async fn process_list(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let pause = start(&uvm, &pod).await?;
    ensure!(listed(&uvm, &pod.id).await? == [pause.pid.0]);
    let container = workload(&lab, &pod, "sleep 1000 & echo up; wait").await?;
    container.create(&uvm).await?;
    let created = listed(&uvm, &container.id).await?;
    ensure!(created.len() == 1, "init waits for its start: {created:?}");
    let mut init = uvm.container_start(&container.id, Stdio::OUTPUT).await?;
    let mut ready = [0; 3];
    let stdout = init.stdout.as_mut().context("asked for")?;
    tokio::io::AsyncReadExt::read_exact(stdout, &mut ready).await?;
    let process = json!({"args": ["/bin/sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    let exec = uvm.container_exec(&container.id, process, Stdio::default()).await?;
    let all = listed(&uvm, &container.id).await?;
    let comms = all.iter().map(|pid| format!("cat /proc/{pid}/comm")).collect::<Vec<_>>().join("; ");
    let names = String::from_utf8(lab.shell(&comms).await?.stdout)?;
    ensure!(all.len() == 3 && names.matches("sleep\n").count() == 2, "{all:?} {names}");
    ensure!(all.contains(&init.pid.0) && all.contains(&exec.pid.0), "{all:?}");
    ensure!(listed(&uvm, &pod.id).await? == [pause.pid.0], "a pod's list is its sandbox's own");
    exec.signal(None).await?;
    ensure!(exec.wait().await? == 137);
    ensure!(!listed(&uvm, &container.id).await?.contains(&exec.pid.0), "it has ended, and that was reported");
    let process =
        json!({"args": ["/bin/true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    let short = uvm.container_exec(&container.id, process, Stdio::default()).await?;
    lab.shell(&format!("while test -e /proc/{}; do true; done", short.pid)).await?;
    ensure!(!listed(&uvm, &container.id).await?.contains(&short.pid.0), "its pid is free for anybody");
    ensure!(short.wait().await? == 0);
    init.signal(None).await?;
    // Its status waits until its host has closed this.
    drop(init.stdout.take());
    ensure!(init.wait().await? == 137);
    ensure!(listed(&uvm, &container.id).await?.is_empty(), "an init that was reaped is no process");
    uvm.container_delete(&container.id).await?;
    end(&uvm, &pod, pause).await
}

async fn loopback(lab: Arc<Lab>) -> Result<()> {
    let script = [talk("127.0.0.1"), talk("::1")].join("; ");
    let alone = lab.container().await?.script(&script).run(&lab).await?;
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    let inside = output(&lab, &workload(&lab, &pod, &script).await?).await?;
    end(&uvm, &pod, init).await?;
    for text in [String::from_utf8(alone.stdout)?, inside] {
        ensure!(text == "heard\nheard\n", "{text:?}");
    }
    Ok(())
}
