//! A host whose connections break: the bridge while waits and notifications are under way, a container's output while
//! it writes.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{
    Create, ExecuteProcess, ExecuteProcessSettings, HostedSettings, INFINITE, ProcessParameters,
    SchemaVersion, StdioPorts, WaitForProcess,
};
use lcow_protocol::{ContainerId, HResult, MessageType, ProcessId, VsockPort};
use lcow_tests::foreign::{Bridge, ForeignHost, Stream, accept};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// What a host that moves gets again of a stream (spec section 12.3).
const REPLAY: usize = 128 << 10;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    // One VM for all of these: each spoils the connection in its own way.
    Suite::new("reconnect", lab)
        .sharing(|| ForeignHost::boot(&[]))
        .test("output_goes_on_after_its_last_bytes_were_repeated", |host| Box::pin(output(host)))
        .test("output_that_its_host_has_closed_does_not_hold_up_the_status", |host| {
            Box::pin(closed_output(host))
        })
        .test("the_same_host_gets_statuses_and_notifications_of_its_absence", |host| Box::pin(rollback(host)))
        .test("a_destination_gets_them_once_it_has_asked", |host| Box::pin(destination(host)))
        .test("a_host_that_starts_anew_gets_neither", |host| Box::pin(stranger(host)))
        .test("requests_that_end_while_the_host_is_away_are_answered", |host| Box::pin(requests(host)))
        .done()
}

/// A container that runs a shell script, and the host's ends of its standard input and output.
pub(crate) struct Running {
    pub(crate) id: ContainerId,
    pub(crate) pid: u64,
    pub(crate) stdin: UnixStream,
    pub(crate) stdout: UnixStream,
    /// Where the guest finds the host's end of its output again.
    listener: UnixListener,
}

async fn succeed(bridge: &mut Bridge, id: u64) -> Result<Value> {
    let answer = bridge.answer(id).await?;
    ensure!(answer["Result"] == 0, "{answer}");
    Ok(answer)
}

/// Runs a script in the VM to its end and returns what it says.
pub(crate) async fn shell(host: &mut ForeignHost, bridge: &mut Bridge, script: &str) -> Result<String> {
    let (pid, mut stdout) = host.shell(bridge, script, Stream::Output).await?;
    let mut text = String::new();
    stdout.read_to_string(&mut text).await?;
    drop(stdout);
    let asked = bridge.request(&ContainerId::null(), wait(pid)).await?;
    let answer = succeed(bridge, asked).await?;
    ensure!(answer["ExitCode"] == 0, "{script}: {answer} {text}");
    Ok(text)
}

pub(crate) fn wait(pid: u64) -> WaitForProcess {
    WaitForProcess { process_id: ProcessId(u32::try_from(pid).unwrap_or(u32::MAX)), timeout_in_ms: INFINITE }
}

/// Creates and starts a container.
pub(crate) async fn run(
    host: &mut ForeignHost,
    bridge: &mut Bridge,
    name: &str,
    script: &str,
) -> Result<Running> {
    let container = LabContainer::at(name.to_owned(), format!("/var/lab/{name}")).script(script);
    shell(host, bridge, &container.setup()).await?;
    let asked = create(bridge, &container).await?;
    succeed(bridge, asked).await?;
    let ((stdin, input, _), (stdout, output, _)) = (host.listen()?, host.listen()?);
    let asked = bridge.request(&container.id, start(stdin, stdout)).await?;
    let (stdin, stdout) = (accept(&input).await?, accept(&output).await?);
    let pid = succeed(bridge, asked).await?["ProcessId"].as_u64().context("a pid")?;
    Ok(Running { id: container.id, pid, stdin, stdout, listener: output })
}

/// Asks for a container, whose root is there already; returns the number of the request.
pub(crate) async fn create(bridge: &mut Bridge, container: &LabContainer) -> Result<u64> {
    let settings = HostedSettings {
        schema_version: SchemaVersion { major: 2, minor: 1 },
        oci_bundle_path: container.bundle.clone(),
        oci_specification: container.spec.clone(),
        scratch_dir_path: String::new(),
    };
    bridge.request(&container.id, Create { container_config: Stringified(settings) }).await
}

/// Runs a process in a container; returns its pid and the host's end of its output.
pub(crate) async fn exec(
    host: &mut ForeignHost,
    bridge: &mut Bridge,
    id: &ContainerId,
    process: Value,
) -> Result<(u64, UnixStream)> {
    let (port, listener, _) = host.listen()?;
    let process_parameters = Stringified(ProcessParameters {
        oci_process: Some(process),
        create_std_out_pipe: true,
        ..ProcessParameters::default()
    });
    let vsock_stdio_relay_settings = StdioPorts { stdout: port, ..StdioPorts::default() };
    let settings = ExecuteProcessSettings { process_parameters, vsock_stdio_relay_settings };
    let asked = bridge.request(id, ExecuteProcess { settings }).await?;
    let stdout = accept(&listener).await?;
    Ok((succeed(bridge, asked).await?["ProcessId"].as_u64().context("a pid")?, stdout))
}

fn start(stdin: VsockPort, stdout: VsockPort) -> ExecuteProcess {
    let process_parameters = Stringified(ProcessParameters {
        create_std_in_pipe: true,
        create_std_out_pipe: true,
        ..ProcessParameters::default()
    });
    let vsock_stdio_relay_settings = StdioPorts { stdin, stdout, ..StdioPorts::default() };
    ExecuteProcess { settings: ExecuteProcessSettings { process_parameters, vsock_stdio_relay_settings } }
}

async fn is_notified(bridge: &mut Bridge, id: &ContainerId) -> Result<()> {
    let (header, body) = bridge.receive().await?;
    ensure!(
        header.message_type == MessageType::CONTAINER_NOTIFICATION && header.id == 0,
        "{header:?} {body}"
    );
    ensure!(body["ContainerId"] == id.as_str(), "{body}");
    Ok(())
}

/// Deletes a container; nothing but the answer may come.
async fn delete(bridge: &mut Bridge, id: &ContainerId) -> Result<()> {
    let asked = bridge.request(id, lcow_protocol::messages::DeleteContainerState {}).await?;
    succeed(bridge, asked).await.map(drop)
}

async fn output(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let script = "seq 1 50000; read go; seq 50001 100000; exit 3";
    let Running { id, pid, mut stdin, mut stdout, listener } =
        run(host, &mut bridge, "replayed", script).await?;
    let mut whole = (1..=100_000).map(|number: u32| number.to_string()).collect::<Vec<_>>().join("\n");
    whole.push('\n');
    let before = whole.find("50001\n").context("in it")?;
    let asked = bridge.request(&id, wait(pid)).await?;
    let mut first = vec![0; before];
    stdout.read_exact(&mut first).await?;
    ensure!(first == whole.as_bytes()[..before]);
    // The move: this connection is gone, and the guest finds another one at the same port.
    drop(stdout);
    let mut stdout = reconnected(&listener, &mut stdin).await?;
    let mut second = Vec::new();
    stdout.read_to_end(&mut second).await?;
    drop(stdout);
    // Every byte in order, from the last ones that went on the old connection to the end.
    ensure!(whole.as_bytes().ends_with(&second), "{} bytes are no end of the output", second.len());
    ensure!(second.len() >= whole.len() - before, "output is missing");
    ensure!(second.len() <= whole.len() - before + REPLAY, "{} bytes were repeated", second.len());
    ensure!(succeed(&mut bridge, asked).await?["ExitCode"] == 3);
    is_notified(&mut bridge, &id).await?;
    delete(&mut bridge, &id).await
}

/// Lets the container write on, and takes the connection that it makes anew.
async fn reconnected(listener: &UnixListener, stdin: &mut UnixStream) -> Result<UnixStream> {
    stdin.write_all(b"go\n").await?;
    accept(listener).await.context("output does not come back")
}

async fn closed_output(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let Running { id, pid, mut stdin, stdout, listener } =
        run(host, &mut bridge, "closed", "read go; echo nobody reads this; exit 4").await?;
    // Nobody listens there any more either: the host does not want it.
    drop((stdout, listener));
    std::fs::remove_file(host.socket(host.last_port()))?;
    let asked = bridge.request(&id, wait(pid)).await?;
    stdin.write_all(b"go\n").await?;
    ensure!(succeed(&mut bridge, asked).await?["ExitCode"] == 4);
    is_notified(&mut bridge, &id).await?;
    delete(&mut bridge, &id).await
}

/// A container whose end is under way with two waits pending, and the bridge gone; returns the numbers of the waits, of
/// which the second is limited.
async fn lost(host: &mut ForeignHost, name: &str) -> Result<(Running, [u64; 2])> {
    let mut bridge = host.connect(0).await?;
    let mut running = run(host, &mut bridge, name, "read status; exit $status").await?;
    let asked = bridge.request(&running.id, wait(running.pid)).await?;
    let limited = WaitForProcess { timeout_in_ms: 600_000, ..wait(running.pid) };
    let limited = bridge.request(&running.id, limited).await?;
    // Frames are taken in order, so the wait is under way once this is answered.
    let probe = bridge.request(&ContainerId::null(), wait(4_000_000)).await?;
    ensure!(bridge.answer(probe).await?["Result"] == HResult::NOT_FOUND.0);
    drop(bridge);
    running.stdin.write_all(b"9\n").await?;
    // All output is there, and closing this is what the end of the container waits for.
    let mut rest = Vec::new();
    running.stdout.read_to_end(&mut rest).await?;
    Ok((running, [asked, limited]))
}

async fn rollback(host: &mut ForeignHost) -> Result<()> {
    let (running, waits) = lost(host, "rolled-back").await?;
    drop(running.stdout);
    // Fails if anything but the answer to the negotiation comes first.
    let mut bridge = host.connect(1000).await?;
    let mut answered = Vec::new();
    for _ in waits {
        let (header, body) = bridge.receive().await?;
        ensure!(body["ExitCode"] == 9, "{header:?} {body}");
        answered.push(header.id);
    }
    answered.sort_unstable();
    ensure!(answered == waits, "{answered:?}");
    is_notified(&mut bridge, &running.id).await?;
    delete(&mut bridge, &running.id).await
}

async fn destination(host: &mut ForeignHost) -> Result<()> {
    let (running, [asked, _]) = lost(host, "moved").await?;
    drop(running.stdout);
    let mut bridge = host.connect(0).await?;
    // Above everything that the source has used.
    bridge.skip_to(5000);
    let other = bridge.request(&ContainerId::null(), wait(4_000_000)).await?;
    ensure!(bridge.answer(other).await?["Result"] == HResult::NOT_FOUND.0, "it has not asked yet");
    let probe = bridge.request(&running.id, wait(running.pid)).await?;
    // The limited wait of the source is nobody's any more, and the end is told after its waits were answered.
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let (header, body) = bridge.receive().await?;
        ensure!(body["ExitCode"] == 9, "{header:?} {body}");
        answered.push(header.id);
    }
    answered.sort_unstable();
    ensure!(answered == [asked, probe], "{answered:?}");
    is_notified(&mut bridge, &running.id).await?;
    delete(&mut bridge, &running.id).await
}

async fn stranger(host: &mut ForeignHost) -> Result<()> {
    let (running, [_, asked]) = lost(host, "forgotten").await?;
    drop(running.stdout);
    let mut bridge = host.connect(0).await?;
    // Its numbers pass that of the old wait before it asks for the same process.
    for _ in 0..=asked {
        let other = bridge.request(&ContainerId::null(), wait(4_000_000)).await?;
        ensure!(bridge.answer(other).await?["Result"] == HResult::NOT_FOUND.0);
    }
    let again = bridge.request(&running.id, wait(running.pid)).await?;
    ensure!(again > asked);
    let mut answers = 0;
    let deleted = bridge.request(&running.id, lcow_protocol::messages::DeleteContainerState {}).await?;
    // It has named the container, so it is the one to be told of its end.
    while answers < 2 {
        let (header, body) = bridge.receive().await?;
        if header.message_type == MessageType::CONTAINER_NOTIFICATION {
            continue;
        }
        ensure!(
            header.id == again || header.id == deleted,
            "an answer that nobody asked for: {header:?} {body}"
        );
        answers += 1;
    }
    Ok(())
}

async fn requests(host: &mut ForeignHost) -> Result<()> {
    let mut bridge = host.connect(0).await?;
    let (pid, stdin) = host.shell(&mut bridge, "read line", Stream::Input).await?;
    // Ends by itself while nobody is there.
    let limited = WaitForProcess { timeout_in_ms: 300, ..wait(pid) };
    let asked = bridge.request(&ContainerId::null(), limited).await?;
    let body = json!({"ContainerId": ContainerId::NULL});
    let stacks = bridge.send(MessageType::DUMP_STACKS, &serde_json::to_vec(&body)?).await?;
    let late = bridge.answer(stacks).await?;
    ensure!(late["GuestStacks"].as_str().is_some_and(|text| text.contains("WaitForProcess")), "{late}");
    drop(bridge);
    let mut bridge = host.connect(2000).await?;
    ensure!(bridge.answer(asked).await?["Result"] == HResult::TIMEOUT.0);
    drop(stdin);
    let asked = bridge.request(&ContainerId::null(), wait(pid)).await?;
    ensure!(succeed(&mut bridge, asked).await?["ExitCode"] == 1);
    Ok(())
}
