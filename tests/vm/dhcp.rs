//! Adapters without addresses of the host's: the monitor's user network has a DHCP server.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::uvm::BootPlan;
use host_bridge::vmm::{MacAddress, Nic};
use lcow_tests::Lab;
use lcow_tests::suite::Suite;
use serde_json::{Value, json};

use crate::pods::{KIND, end, output, sandbox, start, workload};
use crate::storage::modify;

const NAMESPACE: &str = "dddddddd-1111-2222-3333-444455556666";

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("dhcp", lab)
        .test("an_adapter_without_addresses_gets_a_lease", lease)
        .test("so_does_one_in_the_vms_own_network", machine)
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
    let namespaces = inside.spec["linux"]["namespaces"].as_array_mut().context("namespaces")?;
    namespaces.retain(|namespace| namespace["type"] != "network");
    namespaces.push(json!({"type": "network", "path": format!("/proc/{}/ns/net", init.pid)}));
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
    let mut pod = sandbox(&lab).await?;
    pod.spec["annotations"] =
        json!({KIND: "sandbox", "io.microsoft.virtualmachine.lcow.hostnetwork": "true"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": NAMESPACE}});
    let init = start(&uvm, &pod).await?;
    let text = String::from_utf8(lab.shell("ip -o addr; ip route").await?.stdout)?;
    for part in ["eth0    inet 10.0.2.15/24", "default via 10.0.2.2 dev eth0"] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    end(&uvm, &pod, init).await
}
