//! What only Hyper-V has, on a VM whose list of buses is of the tests' making: devices and adapters with VMBus ids.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::uvm::{BootPlan, Uvm};
use host_bridge::vmm::{MacAddress, Nic};
use lcow_protocol::HResult;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::{Value, json};

use crate::pods::{KIND, create, end, output, sandbox, start, workload};
use crate::storage::modify;

/// A device that no container may use unless it is given to it.
const DEVICE: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const GPU: &str = "aaaaaaaa-0000-4000-8000-000000000002";
const ADAPTER: &str = "aaaaaaaa-0000-4000-8000-000000000003";
const NAMESPACE: &str = "eeeeeeee-1111-2222-3333-444455556666";

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    // One VM for all of these: hiding the real buses would spoil the shared one.
    Suite::new("assigned", lab)
        .sharing(boot)
        .test("a_device_is_waited_for_and_passed_on", |lab| Box::pin(device(lab)))
        .test("a_gpu_is_passed_on_by_its_drivers_tool", |lab| Box::pin(gpu(lab)))
        .test("an_adapter_is_found_by_its_vmbus_id", |lab| Box::pin(adapter(lab)))
        .done()
}

async fn boot() -> Result<Arc<Lab>> {
    let nics = vec![Nic { mac: MacAddress::default_for(0) }];
    let lab = Lab::with_plan(BootPlan { nics, ..Lab::plan() })?;
    let script = format!(
        "until test -e /sys/class/net/eth0; do true; done; mount -t tmpfs none /sys/bus && cd /sys/bus && mkdir -p vmbus/devices && \
         cd vmbus/devices && mkdir -p {DEVICE}/pci1111:00 {GPU}/pci2222:00/2222:00:00.0 {ADAPTER}/net/eth0 && \
         ln -s /sys/devices/virtual/mem/full {DEVICE}/pci1111:00/1111:00:00.0"
    );
    lab.shell(&script).await?;
    Ok(lab)
}

async fn pod(lab: &Lab, uvm: &Uvm) -> Result<(LabContainer, host_bridge::guest::Process)> {
    let pod = sandbox(lab).await?;
    let init = start(uvm, &pod).await?;
    Ok((pod, init))
}

fn assign(container: &mut LabContainer, devices: &Value) {
    container.spec["windows"] = json!({ "devices": devices });
}

async fn device(lab: &Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    modify(&uvm, "Add", "VPCIDevice", json!({"VMBusGUID": DEVICE.to_uppercase()})).await?;
    let (pod, init) = pod(lab, &uvm).await?;
    // Only a device that was passed on says that there is no space.
    let script = "echo x > /dev/full; echo $?";
    let mut with = workload(lab, &pod, script).await?;
    assign(&mut with, &json!([{"id": DEVICE, "idType": "vpci-instance-id"}, {"id": "x", "idType": "tpm"}]));
    let seen = with.run(lab).await?;
    let error = String::from_utf8_lossy(&seen.stderr).into_owned();
    ensure!(seen.stdout == b"1\n" && error.contains("No space left"), "{error}");
    let mut malformed = workload(lab, &pod, script).await?;
    assign(&mut malformed, &json!([{"id": "../..", "idType": "vpci"}]));
    ensure!(refusal(create(&uvm, &malformed).await) == Some(HResult::FAIL));
    end(&uvm, &pod, init).await
}

async fn gpu(lab: &Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let (pod, init) = pod(lab, &uvm).await?;
    let mut container = workload(lab, &pod, "cat /made-by-the-tool").await?;
    assign(&mut container, &json!([{"id": GPU, "idType": "gpu"}]));
    container.spec["annotations"]["io.microsoft.container.gpu.capabilities"] = json!("utility,compute");
    let refused = create(&uvm, &container).await;
    let text = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
    ensure!(refusal(refused) == Some(HResult::FAIL) && text.contains("nvidia-container-cli"), "{text}");
    // The failed create has taken the root with it.
    lab.shell(&container.setup()).await?;
    // A tool that only writes down what it was told, inside the container's root.
    let tool = "printf '#!/bin/sh\\nfor last; do true; done\\necho \"$@\" $NVC_INSECURE_MODE > $last/made-by-the-tool\\n' \
                > /bin/nvidia-container-cli && chmod +x /bin/nvidia-container-cli";
    lab.shell(tool).await?;
    let text = output(lab, &container).await?;
    let root = container.spec["root"]["path"].as_str().context("a path")?;
    for part in
        ["--no-pivot configure", "--utility --compute --device=2222:00:00.0 --pid=", &format!(" {root} 1\n")]
    {
        ensure!(text.contains(part), "{part:?} is missing in {text:?}");
    }
    ensure!(!text.contains("{{"), "the container's pid was not filled in: {text}");
    lab.shell("rm /bin/nvidia-container-cli").await?;
    end(&uvm, &pod, init).await
}

async fn adapter(lab: &Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    // The hardware address is no way round the id.
    let settings = json!({"NamespaceID": NAMESPACE, "ID": ADAPTER.to_uppercase(), "MacAddress": "00-15-5D-FF-FF-FF",
        "IPConfigs": [{"IPAddress": "10.0.2.15", "PrefixLength": 24}]});
    modify(&uvm, "Add", "Network", settings.clone()).await?;
    let mut pod = sandbox(lab).await?;
    pod.spec["annotations"] = json!({KIND: "sandbox"});
    pod.spec["windows"] = json!({"network": {"networkNamespace": NAMESPACE}});
    let init = start(&uvm, &pod).await?;
    lab.shell("test ! -e /sys/class/net/eth0").await?;
    end(&uvm, &pod, init).await?;
    modify(&uvm, "Remove", "Network", settings).await?;
    Ok(())
}
