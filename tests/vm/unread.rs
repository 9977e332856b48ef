//! A host that has a process's output connected and does not read it, or serves directories and does not answer.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{
    DeleteContainerState, ExecuteProcess, ExecuteProcessSettings, ProcessParameters, ShutdownForced,
    ShutdownGraceful, SignalProcess,
};
use lcow_protocol::{ContainerId, MessageType, ProcessId};
use lcow_tests::foreign::{Bridge, ForeignHost, Stream, accept};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, plan9};
use serde_json::{Value, json};

use crate::reconnect::{Running, create, exec, run, shell, wait};

/// Writes for ever, 64 KiB at a time, and counts that in a file.
const WRITER: &str = "while dd if=/dev/zero bs=65536 count=1 2>/dev/null; do echo x >> /tmp/written; done";

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("unread", lab)
        .sharing(|| ForeignHost::boot(&[]))
        .test("output_that_nobody_reads_does_not_outlive_a_forced_shutdown", |host| Box::pin(forced(host)))
        .test("output_that_nobody_reads_does_not_outlive_its_container", |host| Box::pin(deleted(host)))
        .test("a_vm_level_process_whose_output_nobody_reads_can_be_ended", |host| Box::pin(vm_level(host)))
        .test("shares_whose_servers_are_silent_hold_up_nothing_else", |host| Box::pin(silent_servers(host)))
        .test("a_program_on_a_silent_share_holds_up_no_other_process", |host| Box::pin(silent_program(host)))
        .test("a_shutdown_that_came_too_late_is_not_how_a_container_ended", |host| Box::pin(too_late(host)))
        .done()
}

/// What has come, in any order.
#[derive(Default)]
struct Inbox {
    answers: HashMap<u64, Value>,
    /// What notifications say.
    ended: Vec<Value>,
}

impl Inbox {
    async fn receive(&mut self, bridge: &mut Bridge) -> Result<()> {
        let (header, body) = bridge.receive().await?;
        match header.message_type {
            MessageType::CONTAINER_NOTIFICATION => self.ended.push(body),
            _ => ensure!(self.answers.insert(header.id, body).is_none(), "{header:?}"),
        }
        Ok(())
    }

    /// Waits for the answer to a request.
    async fn answer(&mut self, bridge: &mut Bridge, id: u64) -> Result<Value> {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            self.receive(bridge).await?;
        }
    }

    /// Waits for the only container's end, and returns how it is said to have ended.
    async fn notified(&mut self, bridge: &mut Bridge) -> Result<Value> {
        while self.ended.is_empty() {
            self.receive(bridge).await?;
        }
        ensure!(self.ended.len() == 1 && self.answers.is_empty(), "{:?} {:?}", self.ended, self.answers);
        Ok(self.ended.remove(0)["Type"].take())
    }
}

/// Waits until what a writer has counted in `file` grows no more: everything between it and the host is full.
async fn full(host: &mut ForeignHost, bridge: &mut Bridge, file: &str) -> Result<()> {
    let count = format!("wc -l < {file} 2>/dev/null; true");
    let mut before = String::new();
    loop {
        let now = shell(host, bridge, &count).await?;
        if !now.is_empty() && now == before {
            return Ok(());
        }
        before = now;
    }
}

/// How many descriptors the agent has.
async fn descriptors(host: &mut ForeignHost, bridge: &mut Bridge) -> Result<u32> {
    let count =
        "for p in /proc/[0-9]*; do [ \"$(cat $p/comm 2>/dev/null)\" = gcs ] && ls $p/fd | wc -l; done; true";
    let text = shell(host, bridge, count).await?;
    text.trim().parse().with_context(|| format!("a number: {text:?}"))
}

/// A container and an exec in it that have written all that fits.
struct Stuck {
    container: Running,
    exec: (u64, tokio::net::UnixStream),
}

async fn stuck(host: &mut ForeignHost, bridge: &mut Bridge, name: &str) -> Result<Stuck> {
    let container = run(host, bridge, name, WRITER).await?;
    let written = format!("/var/lab/{name}/rootfs/tmp/written");
    full(host, bridge, &written).await?;
    let process = json!({
        "args": ["/bin/sh", "-c", WRITER.replace("written", "more")],
        "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
    });
    let exec = exec(host, bridge, &container.id, process).await?;
    full(host, bridge, &written.replace("written", "more")).await?;
    Ok(Stuck { container, exec })
}

impl Stuck {
    /// Asks for the ends of init and exec.
    async fn wait(&self, bridge: &mut Bridge) -> Result<[u64; 2]> {
        let init = bridge.request(&self.container.id, wait(self.container.pid)).await?;
        let exec = bridge.request(&self.container.id, wait(self.exec.0)).await?;
        Ok([init, exec])
    }
}

/// Both were killed, and the host hears of the container's end.
async fn killed(bridge: &mut Bridge, inbox: &mut Inbox, waits: [u64; 2]) -> Result<()> {
    for asked in waits {
        let answer = inbox.answer(bridge, asked).await?;
        ensure!(answer["ExitCode"] == 137, "{answer}");
    }
    inbox.notified(bridge).await.map(drop)
}

async fn forced(host: &mut ForeignHost) -> Result<()> {
    let (mut bridge, mut inbox) = (host.connect(0).await?, Inbox::default());
    let before = descriptors(host, &mut bridge).await?;
    let stuck = stuck(host, &mut bridge, "forced").await?;
    let waits = stuck.wait(&mut bridge).await?;
    let container = &stuck.container;
    let shutdown = bridge.request(&container.id, ShutdownForced {}).await?;
    ensure!(inbox.answer(&mut bridge, shutdown).await?["Result"] == 0);
    killed(&mut bridge, &mut inbox, waits).await?;
    let delete = bridge.request(&container.id, DeleteContainerState {}).await?;
    ensure!(bridge.answer(delete).await?["Result"] == 0);
    // The host keeps its ends to the last.
    ensure!(descriptors(host, &mut bridge).await? == before);
    drop(stuck);
    Ok(())
}

async fn deleted(host: &mut ForeignHost) -> Result<()> {
    let (mut bridge, mut inbox) = (host.connect(0).await?, Inbox::default());
    let before = descriptors(host, &mut bridge).await?;
    let stuck = stuck(host, &mut bridge, "deleted").await?;
    let waits = stuck.wait(&mut bridge).await?;
    let container = &stuck.container;
    let kill = SignalProcess { process_id: ProcessId(u32::try_from(container.pid)?), options: None };
    let kill = bridge.request(&container.id, kill).await?;
    ensure!(inbox.answer(&mut bridge, kill).await?["Result"] == 0);
    // Until its end is known it is refused; nothing else tells of it while the output is held up.
    loop {
        let delete = bridge.request(&container.id, DeleteContainerState {}).await?;
        let answer = inbox.answer(&mut bridge, delete).await?;
        if answer["Result"] == 0 {
            break;
        }
        ensure!(
            answer["ErrorMessage"].as_str().is_some_and(|text| text.contains("still running")),
            "{answer}"
        );
    }
    killed(&mut bridge, &mut inbox, waits).await?;
    ensure!(descriptors(host, &mut bridge).await? == before);
    drop(stuck);
    Ok(())
}

async fn vm_level(host: &mut ForeignHost) -> Result<()> {
    let (mut bridge, mut inbox) = (host.connect(0).await?, Inbox::default());
    let before = descriptors(host, &mut bridge).await?;
    let script = WRITER.replace("written", "vm-level");
    let (pid, stdout) = host.shell(&mut bridge, &script, Stream::Output).await?;
    full(host, &mut bridge, "/tmp/vm-level").await?;
    let null = ContainerId::null();
    let asked = bridge.request(&null, wait(pid)).await?;
    let kill = SignalProcess { process_id: ProcessId(u32::try_from(pid)?), options: None };
    let kill = bridge.request(&null, kill).await?;
    ensure!(inbox.answer(&mut bridge, kill).await?["Result"] == 0);
    let answer = inbox.answer(&mut bridge, asked).await?;
    ensure!(answer["ExitCode"] == 137, "{answer}");
    ensure!(descriptors(host, &mut bridge).await? == before);
    drop(stdout);
    Ok(())
}

async fn silent_servers(host: &mut ForeignHost) -> Result<()> {
    const SHARES: usize = 12;
    let (mut bridge, mut inbox) = (host.connect(0).await?, Inbox::default());
    let mut container = LabContainer::at("unrelated".to_owned(), "/var/lab/unrelated".to_owned());
    shell(host, &mut bridge, &container.setup()).await?;
    let (port, listener, _) = host.listen()?;
    let (mut asked, mut servers) = (Vec::new(), Vec::new());
    for number in 0..SHARES {
        let path = format!("/run/mounts/silent/{number}");
        let settings = json!({"MountPath": path, "Port": port.0, "ShareName": number.to_string()});
        let request = json!({"RequestType": "Add", "ResourceType": "MappedDirectory", "Settings": settings});
        let body = serde_json::to_vec(&json!({"ContainerId": ContainerId::NULL, "Request": request}))?;
        asked.push(bridge.send(MessageType::MODIFY_SETTINGS, &body).await?);
        servers.push(accept(&listener).await?);
    }
    // Its filter is compiled where the shares are mounted.
    container.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}],
    });
    let create = create(&mut bridge, &container).await?;
    let answer = inbox.answer(&mut bridge, create).await?;
    ensure!(answer["Result"] == 0, "{answer}");
    ensure!(inbox.answers.is_empty(), "shares were given up first: {:?}", inbox.answers);
    drop(servers);
    for share in asked {
        let answer = inbox.answer(&mut bridge, share).await?;
        ensure!(answer["Result"] != 0, "{answer}");
    }
    let delete = bridge.request(&container.id, DeleteContainerState {}).await?;
    ensure!(inbox.answer(&mut bridge, delete).await?["Result"] == 0);
    // Init was created, so its end is told.
    inbox.notified(&mut bridge).await.map(drop)
}

async fn silent_program(host: &mut ForeignHost) -> Result<()> {
    let (mut bridge, mut inbox) = (host.connect(0).await?, Inbox::default());
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("program");
    std::fs::write(&program, "#!/bin/sh\n")?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let (port, listener, _) = host.listen()?;
    let share = |verb: &str| {
        let settings = json!({"MountPath": "/run/mounts/dead", "Port": port.0, "ShareName": "dead"});
        let request = json!({"RequestType": verb, "ResourceType": "MappedDirectory", "Settings": settings});
        serde_json::to_vec(&json!({"ContainerId": ContainerId::NULL, "Request": request}))
    };
    let add = bridge.send(MessageType::MODIFY_SETTINGS, &share("Add")?).await?;
    let mut connection = accept(&listener).await?;
    let mounted = tokio::select! {
        answer = inbox.answer(&mut bridge, add) => answer?,
        served = plan9::answer(&mut connection, directory.path().to_owned(), "dead".to_owned()) => bail!("{served:?}"),
    };
    ensure!(mounted["Result"] == 0, "{mounted}");
    // From here on nobody serves it.
    let parameters = ProcessParameters {
        command_args: vec!["/run/mounts/dead/program".to_owned()],
        ..ProcessParameters::default()
    };
    let settings = ExecuteProcessSettings {
        process_parameters: Stringified(parameters),
        ..ExecuteProcessSettings::default()
    };
    let stuck = bridge.request(&ContainerId::null(), ExecuteProcess { settings }).await?;
    ensure!(shell(host, &mut bridge, "echo fine").await? == "fine\n");
    let container = LabContainer::at("unhindered".to_owned(), "/var/lab/unhindered".to_owned());
    shell(host, &mut bridge, &container.setup()).await?;
    let create = create(&mut bridge, &container).await?;
    let answer = inbox.answer(&mut bridge, create).await?;
    ensure!(answer["Result"] == 0 && inbox.answers.is_empty(), "{answer} {:?}", inbox.answers);
    drop(connection);
    let answer = inbox.answer(&mut bridge, stuck).await?;
    ensure!(answer["Result"] != 0, "there is no such program any more: {answer}");
    let remove = bridge.send(MessageType::MODIFY_SETTINGS, &share("Remove")?).await?;
    let answer = inbox.answer(&mut bridge, remove).await?;
    ensure!(answer["Result"] == 0, "{answer}");
    let delete = bridge.request(&container.id, DeleteContainerState {}).await?;
    ensure!(inbox.answer(&mut bridge, delete).await?["Result"] == 0);
    // Init was created, so its end is told.
    inbox.notified(&mut bridge).await.map(drop)
}

async fn too_late(host: &mut ForeignHost) -> Result<()> {
    let (mut bridge, mut inbox) = (host.connect(0).await?, Inbox::default());
    let container = run(host, &mut bridge, "too-late", "echo done; exit 3").await?;
    let gone = format!("test -e /proc/{} || echo gone", container.pid);
    while shell(host, &mut bridge, &gone).await?.is_empty() {}
    // Its output is still open, so its end has not been told.
    let asked = bridge.request(&container.id, ShutdownGraceful {}).await?;
    ensure!(inbox.answer(&mut bridge, asked).await?["Result"] == 0);
    ensure!(inbox.ended.is_empty(), "{:?}", inbox.ended);
    drop((container.stdout, container.stdin));
    let how = inbox.notified(&mut bridge).await?;
    ensure!(how == "UnexpectedExit", "{how}");
    let delete = bridge.request(&container.id, DeleteContainerState {}).await?;
    ensure!(bridge.answer(delete).await?["Result"] == 0);
    Ok(())
}
