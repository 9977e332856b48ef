//! Every error code of the protocol (spec section 4.4), provoked at least once on a real machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{GuestError, Stdio, VmProcess};
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{
    Create, DeleteContainerState, ExecuteProcess, ExecuteProcessSettings, GetProperties, HostedSettings,
    ModifyRequest, ModifySettings, ProcessParameters, PropertyQuery, Request, ResizeConsole, SchemaVersion,
    ShutdownForced, ShutdownGraceful, SignalProcess, Start, WaitForProcess,
};
use lcow_protocol::{ContainerId, HResult, ProcessId};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::{Value, json};

use crate::pods::{end, start};

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    // `NotImpl` and `VmcomputeUnsupportedProtocolVersion` need a host that breaks the protocol: suite `bridge`.
    Suite::new("errors", lab)
        .test("a_container_that_nobody_knows", unknown_container)
        .test("a_process_that_nobody_knows", unknown_process)
        .test("a_create_that_makes_no_sense", bad_creates)
        .test("a_container_in_the_wrong_state", wrong_state)
        .test("a_request_that_does_not_fit_its_subject", wrong_subject)
}

async fn code<R: Request>(lab: &Lab, id: &ContainerId, request: R) -> Result<Option<HResult>> {
    Ok(refusal(lab.uvm().await?.guest().call(id, request).await))
}

/// Fails unless the guest refuses `request` with `expected`.
async fn refused<R: Request>(lab: &Lab, id: &ContainerId, request: R, expected: HResult) -> Result<()> {
    let name = R::TYPE;
    let got = code(lab, id, request).await?;
    ensure!(got == Some(expected), "{name} for {id}: {got:?} instead of {expected}");
    Ok(())
}

fn list() -> GetProperties {
    GetProperties { query: Stringified(PropertyQuery { property_types: vec!["ProcessList".to_owned()] }) }
}

fn wait(process_id: u32) -> WaitForProcess {
    WaitForProcess { process_id: ProcessId(process_id), timeout_in_ms: 1 }
}

fn execute() -> ExecuteProcess {
    let process_parameters = Stringified(ProcessParameters::default());
    ExecuteProcess {
        settings: ExecuteProcessSettings { process_parameters, ..ExecuteProcessSettings::default() },
    }
}

fn change(resource: &str, settings: Value) -> ModifySettings {
    let request = ModifyRequest { request_type: "Update".into(), resource_type: resource.into(), settings };
    ModifySettings { request }
}

async fn unknown_container(lab: Arc<Lab>) -> Result<()> {
    let id = ContainerId("nobody".to_owned());
    let expected = HResult::SYSTEM_NOT_FOUND;
    let signal = SignalProcess { process_id: ProcessId(1), options: None };
    refused(&lab, &id, execute(), expected).await?;
    refused(&lab, &id, wait(1), expected).await?;
    refused(&lab, &id, signal, expected).await?;
    refused(&lab, &id, ResizeConsole::default(), expected).await?;
    refused(&lab, &id, list(), expected).await?;
    refused(&lab, &id, ShutdownGraceful {}, expected).await?;
    refused(&lab, &id, ShutdownForced {}, expected).await?;
    refused(&lab, &id, change("ContainerConstraints", json!({})), expected).await?;
    // These two are successes, and hosts rely on it.
    ensure!(code(&lab, &id, Start {}).await?.is_none());
    ensure!(code(&lab, &id, DeleteContainerState {}).await?.is_none());
    Ok(())
}

async fn unknown_process(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    for id in [&container.id, &ContainerId::null()] {
        // The agent itself has a low number, and is none of the host's business.
        for process_id in [1, 2, 4_000_000] {
            let signal = SignalProcess { process_id: ProcessId(process_id), options: None };
            let resize = ResizeConsole { process_id: ProcessId(process_id), height: 24, width: 80 };
            refused(&lab, id, wait(process_id), HResult::NOT_FOUND).await?;
            refused(&lab, id, signal, HResult::NOT_FOUND).await?;
            refused(&lab, id, resize, HResult::NOT_FOUND).await?;
        }
    }
    let waited = refusal(init.wait_timeout(Duration::from_millis(50)).await);
    ensure!(waited == Some(HResult::TIMEOUT), "{waited:?}");
    let resized = refusal(init.resize(24, 80).await);
    ensure!(resized == Some(HResult::FAIL), "it has no terminal: {resized:?}");
    end(&uvm, &container, init).await
}

fn settings(container: &LabContainer) -> HostedSettings {
    HostedSettings {
        schema_version: SchemaVersion { major: 2, minor: 1 },
        oci_bundle_path: container.bundle.clone(),
        oci_specification: container.spec.clone(),
        scratch_dir_path: String::new(),
    }
}

async fn bad_creates(lab: Arc<Lab>) -> Result<()> {
    let container = lab.container().await?;
    let create = |settings: HostedSettings| Create { container_config: Stringified(settings) };
    let good = settings(&container);
    let old = SchemaVersion { major: 2, minor: 0 };
    refused(
        &lab,
        &container.id,
        create(HostedSettings { schema_version: old, ..good.clone() }),
        HResult::INVALID_JSON,
    )
    .await?;
    for id in ["", "..", "a/b", "a b", &"x".repeat(2000)] {
        refused(&lab, &ContainerId(id.to_owned()), create(good.clone()), HResult::INVALID_ARG).await?;
    }
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        if let Some(field) = changed.oci_specification.pointer_mut(pointer) {
            *field = value;
        }
        changed
    };
    let cases = [
        HostedSettings { oci_bundle_path: "relative".to_owned(), ..good.clone() },
        HostedSettings { oci_bundle_path: "/var/lab/../x".to_owned(), ..good.clone() },
        HostedSettings { oci_specification: Value::Null, ..good.clone() },
        with("/root/path", json!("relative")),
        with("/process/args", json!([])),
        with("/process/user", json!([])),
        with("/process/user", json!({"uid": 0, "gid": 0, "username": "nobody-knows"})),
        with("/hostname", json!("not a name")),
        with("/linux", json!("text")),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let id = ContainerId(format!("bad{number}"));
        refused(&lab, &id, create(case), HResult::FAIL).await?;
        // It may be tried again: nothing of it is left.
        refused(&lab, &id, list(), HResult::SYSTEM_NOT_FOUND).await?;
    }
    Ok(())
}

async fn wrong_state(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.create(&uvm).await?;
    let create = Create { container_config: Stringified(settings(&container)) };
    refused(&lab, &container.id, create, HResult::SYSTEM_ALREADY_EXISTS).await?;
    let process = json!({"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
    let exec = || uvm.container_exec(&container.id, process.clone(), Stdio::default());
    ensure!(refusal(exec().await) == Some(HResult::SYSTEM_ALREADY_STOPPED), "it does not run yet");
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    refused(&lab, &container.id, execute(), HResult::INVALID_STATE).await.context("a second start")?;
    refused(&lab, &container.id, DeleteContainerState {}, HResult::INVALID_STATE).await?;
    init.signal(None).await?;
    ensure!(init.wait().await? == 137);
    ensure!(refusal(exec().await) == Some(HResult::SYSTEM_ALREADY_STOPPED), "it does not run any more");
    ensure!(refusal(init.signal(None).await) == Some(HResult::NOT_FOUND), "it is gone");
    // Its end has been reported, which is all that a host wants of these.
    ensure!(code(&lab, &container.id, ShutdownGraceful {}).await?.is_none());
    ensure!(code(&lab, &container.id, ShutdownForced {}).await?.is_none());
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn wrong_subject(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let null = ContainerId::null();
    refused(&lab, &null, list(), HResult::FAIL).await.context("the VM has no list")?;
    refused(&lab, &null, change("WCOWBlockCims", json!({})), HResult::FAIL).await?;
    refused(&lab, &null, change("MappedVirtualDisk", json!({})), HResult::FAIL).await?;
    refused(&lab, &null, change("ContainerConstraints", json!({"Linux": {}})), HResult::SYSTEM_NOT_FOUND)
        .await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    refused(&lab, &container.id, change("MappedVirtualDisk", json!({"Lun": 1})), HResult::FAIL).await?;
    refused(&lab, &container.id, change("ContainerConstraints", Value::Null), HResult::INVALID_JSON).await?;
    refused(&lab, &container.id, change("ContainerConstraints", json!([])), HResult::INVALID_JSON).await?;
    let missing: Result<_, GuestError> = uvm.exec(VmProcess::new(["/no/such/program"])).await;
    ensure!(refusal(missing) == Some(HResult::FILE_NOT_FOUND));
    ensure!(refusal(uvm.exec(VmProcess::new(["/etc"])).await) == Some(HResult::NOT_EXECUTABLE));
    end(&uvm, &container, init).await
}
