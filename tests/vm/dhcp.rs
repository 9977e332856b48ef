//! Adapters without addresses of the host's: the monitor's user network has a DHCP server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{LogLine, Stdio};
use host_bridge::uvm::BootPlan;
use host_bridge::vmm::{MacAddress, Nic};
use lcow_tests::Lab;
use lcow_tests::suite::Suite;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;

use crate::pods::{KIND, end, output, sandbox, start, workload};
use crate::storage::modify;

const NAMESPACE: &str = "dddddddd-1111-2222-3333-444455556666";

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("dhcp", lab)
        .test("an_adapter_without_addresses_gets_a_lease", lease)
        .test("so_does_one_in_the_vms_own_network", machine)
        .test("a_lease_is_renewed_in_its_pod_and_its_address_goes_with_it", renewal)
}

fn adapter(number: u8) -> Value {
    json!({"NamespaceID": NAMESPACE, "ID": format!("{number:02}"), "MacAddress": format!("00-15-5D-00-00-{number:02}"),
        "PolicyBasedRouting": true})
}

fn own_vm() -> Result<Arc<Lab>> {
    let nics = [0, 1].map(|index| Nic { mac: MacAddress::default_for(index) });
    Lab::with_plan(BootPlan { nics: nics.to_vec(), ..Lab::plan() })
}

async fn lease(_: Arc<Lab>) -> Result<()> {
    let lab = own_vm()?;
    let uvm = lab.uvm().await?;
    modify(&uvm, "Add", "Network", adapter(0)).await?;
    let mut pod = sandbox(&lab).await?;
    pod.spec["annotations"] = json!({KIND: "sandbox"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": NAMESPACE}});
    let init = start(&uvm, &pod).await?;
    let show = "cat /etc/resolv.conf; busybox ip -o addr; busybox ip route; busybox ip rule; busybox ip route show table 101";
    let mut inside = workload(&lab, &pod, show).await?;
    inside.leave("network")?.push(json!({"type": "network", "path": format!("/proc/{}/ns/net", init.pid)}));
    let text = output(&lab, &inside).await?;
    for part in ["nameserver 10.0.2.3\n", "eth0    inet 10.0.2.15/24", "default via 10.0.2.2 dev eth0"] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    // Another one comes while the pod runs: the same addresses, for each adapter has a network of its own.
    modify(&uvm, "Add", "Network", adapter(1)).await?;
    lab.shell(&format!("rm -r {}", inside.bundle)).await.ok();
    lab.shell(&inside.setup()).await?;
    let text = output(&lab, &inside).await?;
    for part in ["eth1    inet 10.0.2.15/24", "from 10.0.2.15 lookup 101", "default via 10.0.2.2 dev eth1"] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    end(&uvm, &pod, init).await
}

async fn machine(_: Arc<Lab>) -> Result<()> {
    let lab = own_vm()?;
    let uvm = lab.uvm().await?;
    modify(&uvm, "Add", "Network", adapter(0)).await?;
    // The second one finds the lease of the first, and is told of its name server.
    for _ in 0..2 {
        let mut pod = sandbox(&lab).await?;
        pod.spec["annotations"] =
            json!({KIND: "sandbox", "io.microsoft.virtualmachine.lcow.hostnetwork": "true"});
        pod.spec["windows"] = json!({"network": {"networkNamespace": NAMESPACE}});
        let init = start(&uvm, &pod).await?;
        let show = format!("ip -o addr; ip route; cat {}/resolv.conf", pod.bundle);
        let text = String::from_utf8(lab.shell(&show).await?.stdout)?;
        for part in ["eth0    inet 10.0.2.15/24", "default via 10.0.2.2 dev eth0", "nameserver 10.0.2.3\n"] {
            ensure!(text.matches(part).count() == 1, "{part} is missing, or there twice, in {text}");
        }
        end(&uvm, &pod, init).await?;
    }
    Ok(())
}

/// A server at the other end of a cable, which grants leases of a few seconds.
const SERVER: &str = "ip link add cable0 type veth && ip link set cable0 address 00:15:5d:00:00:77 && ip link set veth0 name server && \
    ip addr add 10.9.0.1/24 dev server && ip link set server up && touch /tmp/leases && \
    printf 'start 10.9.0.10\nend 10.9.0.20\ninterface server\nlease_file /tmp/leases\npidfile /tmp/udhcpd.pid\n\
    min_lease 6\noption lease 6\noption subnet 255.255.255.0\noption router 10.9.0.1\n' > /tmp/udhcpd.conf && \
    busybox udhcpd /tmp/udhcpd.conf";

async fn renewal(_: Arc<Lab>) -> Result<()> {
    let lab = Lab::with_plan(Lab::plan())?;
    let uvm = lab.uvm().await?;
    lab.shell(SERVER).await?;
    let (_, mut log) = uvm.guest().logs().subscribe();
    let settings = json!({"NamespaceID": NAMESPACE, "ID": "77", "MacAddress": "00-15-5D-00-00-77"});
    modify(&uvm, "Add", "Network", settings.clone()).await?;
    let mut pod = sandbox(&lab).await?;
    pod.spec["annotations"] = json!({KIND: "sandbox"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": NAMESPACE}});
    let init = start(&uvm, &pod).await?;
    let addresses = async || -> Result<String> {
        let args = ["/bin/busybox", "ip", "-4", "-o", "addr", "show", "dev", "cable0"];
        let process = json!({"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
        let shown = uvm.container_exec(&pod.id, process, Stdio::OUTPUT).await?.output().await?;
        Ok(String::from_utf8(shown.stdout)?)
    };
    ensure!(addresses().await?.contains("10.9.0.1"), "no lease");
    // Three times half of the lease is more than all of it.
    for _ in 0..3 {
        heard(&mut log, "more time was asked for").await?;
    }
    ensure!(addresses().await?.contains("10.9.0.1"), "the lease was not renewed");
    lab.shell("kill $(cat /tmp/udhcpd.pid)").await?;
    heard(&mut log, "the lease of an address was lost").await?;
    while !addresses().await?.is_empty() {}
    modify(&uvm, "Remove", "Network", settings).await?;
    end(&uvm, &pod, init).await
}

/// Waits for a line of the agent's log.
async fn heard(log: &mut Receiver<LogLine>, words: &str) -> Result<()> {
    let wait = async {
        while !log.recv().await?.message().contains(words) {}
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_mins(1), wait)
        .await
        .with_context(|| format!("nothing says {words:?}"))?
}
