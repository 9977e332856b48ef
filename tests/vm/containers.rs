//! Standalone containers whose root file system is already in the VM.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{Stdio, VmProcess};
use lcow_protocol::HResult;
use lcow_protocol::messages::ExitType;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, refusal};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pods::end;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("containers", lab)
        .test("hello", hello)
        .test("statuses", statuses)
        .test("identity_files_and_hostname", identity)
        .test("namespaces_capabilities_and_user", confinement)
        .test("seccomp_holds_for_init_and_exec", seccomp)
        .test("devices_outside_the_rules_are_denied", devices)
        .test("limits_reach_the_cgroup", limits)
        .test("exec_sees_the_container", exec)
        .test("an_exec_that_its_container_stops_is_answered", stopped_exec)
        .test("a_stream_that_carried_nothing_does_not_hold_up_the_status", unread)
        .test("input_that_nobody_reads_ends_its_stream_alone", unread_input)
        .test("programs_that_cannot_run_are_told_apart", not_runnable)
        .test("a_working_directory_that_is_missing_is_named", missing_directory)
        .test("a_terminal_for_init", terminal)
        .test("one_notification_after_the_waits", notification)
        .test("created_and_never_started_can_be_deleted", never_started)
        .test("nothing_is_left_behind", leaks)
}

async fn hello(lab: Arc<Lab>) -> Result<()> {
    let output = lab.container().await?.run(&lab).await?;
    ensure!(output.status == 0 && output.stdout == b"hello\n", "{output:?}");
    Ok(())
}

async fn statuses(lab: Arc<Lab>) -> Result<()> {
    for (script, status) in
        [("exit 0", 0), ("exit 1", 1), ("exit 42", 42), ("kill -9 $$", 0), ("kill -TERM $$", 0)]
    {
        // As init of its pid namespace a process is immune to its own signals.
        let output = lab.container().await?.script(script).run(&lab).await?;
        ensure!(output.status == status, "{script}: {output:?}");
    }
    let uvm = lab.uvm().await?;
    for (signal, status) in [(None, 137), (Some(9), 137)] {
        let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
        container.create(&uvm).await?;
        let process = uvm.container_start(&container.id, Stdio::default()).await?;
        process.signal(signal).await?;
        ensure!(process.wait().await? == status);
        uvm.container_delete(&container.id).await?;
    }
    Ok(())
}

async fn identity(lab: Arc<Lab>) -> Result<()> {
    let output = lab.container().await?.script("hostname; cat /etc/hostname /etc/hosts").run(&lab).await?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.starts_with("lab\nlab\n127.0.0.1 localhost\n127.0.0.1 lab\n"), "{text}");
    Ok(())
}

async fn confinement(lab: Arc<Lab>) -> Result<()> {
    let mut container = lab
        .container()
        .await?
        .script("id -u; id -g; echo $$; ls /proc | grep -c '^[0-9]'; grep CapBnd /proc/self/status");
    container.spec["process"]["user"] = json!({"uid": 0, "gid": 0, "username": "web:video"});
    let output = container.run(&lab).await?;
    let text = String::from_utf8(output.stdout)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure!(lines[..3] == ["1000", "44", "1"], "{text} {:?}", String::from_utf8_lossy(&output.stderr));
    ensure!(lines[3].parse::<u32>()? <= 4, "{text}");
    // CHOWN 0, KILL 5, SETGID 6, SETUID 7.
    ensure!(lines[4].ends_with("00000000000000e1"), "{text}");
    Ok(())
}

async fn seccomp(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let script =
        "grep Seccomp: /proc/self/status; hostname other; touch /tmp/ready; while true; do sleep 1; done";
    let mut container = lab.container().await?.script(script);
    container.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    });
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    let script = "grep Seccomp: /proc/self/status; grep CapEff /proc/self/status; mkdir /x 2>&1; id -u";
    for user in [0, 1000] {
        let process = json!({"args": ["/bin/busybox", "sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
            "user": {"uid": user, "gid": 0},
            "capabilities": {"effective": ["CAP_KILL"], "permitted": ["CAP_KILL"], "bounding": ["CAP_KILL"]}});
        let output = uvm.container_exec(&container.id, process, Stdio::OUTPUT).await?.output().await?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(text.contains("Seccomp:\t2"), "exec is not filtered: {text}");
        ensure!(text.contains("not permitted") || text.contains("not found"), "{text}");
        let effective = if user == 0 { "0000000000000020" } else { "0000000000000000" };
        ensure!(text.contains(effective), "the capabilities for confining were kept: {text}");
    }
    end(&uvm, &container, init).await
}

pub(crate) async fn devices(lab: Arc<Lab>) -> Result<()> {
    let mut container = lab
        .container()
        .await?
        .script("mknod /tmp/k c 1 11 && cat /tmp/k | head -c 1; echo x > /dev/null && echo fine");
    for set in ["bounding", "effective", "permitted"] {
        container.spec["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
    }
    let output = container.run(&lab).await?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(stdout == "fine\n", "{stdout:?} {stderr:?}");
    ensure!(stderr.contains("not permitted"), "{stderr:?}");
    Ok(())
}

async fn limits(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.spec["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    container.spec["linux"]["resources"]["cpu"] = json!({"quota": 50_000, "period": 100_000});
    container.spec["linux"]["resources"]["pids"] = json!({"limit": 17});
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    let cgroup = format!("/sys/fs/cgroup/pods/{}", container.id);
    let output = lab.shell(&format!("cd {cgroup} && cat memory.max cpu.max pids.max")).await?;
    ensure!(output.stdout == b"67108864\n50000 100000\n17\n", "{output:?}");
    end(&uvm, &container, init).await
}

async fn exec(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.create(&uvm).await?;
    let process = json!({"args": ["sh", "-c", "cat /proc/1/comm; cat; echo $X; exit 5"], "cwd": "/tmp",
        "env": ["PATH=/bin", "X=y"], "user": {"uid": 0, "gid": 0}});
    ensure!(
        refusal(uvm.container_exec(&container.id, process.clone(), Stdio::OUTPUT).await)
            == Some(HResult::SYSTEM_ALREADY_STOPPED)
    );
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    for _ in 0..3 {
        let output =
            uvm.container_exec(&container.id, process.clone(), Stdio::OUTPUT).await?.output().await?;
        ensure!((output.status, output.stdout.as_slice()) == (5, b"sleep\ny\n".as_slice()), "{output:?}");
    }
    end(&uvm, &container, init).await
}

/// The agent itself gives such an exec up after a minute (its own tests have that with a shorter one).
async fn stopped_exec(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.script("echo go; while :; do kill -STOP -1 2>/dev/null; done");
    container.create(&uvm).await?;
    let mut init = uvm.container_start(&container.id, Stdio::OUTPUT).await?;
    let (mut stdout, _) = (init.stdout.take().context("asked for")?, init.stderr.take());
    let mut go = [0; 3];
    stdout.read_exact(&mut go).await?;
    drop(stdout);
    let exec = || {
        let (uvm, id) = (Arc::clone(&uvm), container.id.clone());
        let process =
            json!({"args": ["/bin/true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
        tokio::spawn(async move { uvm.container_exec(&id, process, Stdio::default()).await.map(drop) })
    };
    // One may be too fast for it.
    let mut asked = exec();
    let halted = "for p in /proc/[0-9]*; do case \"$(cat $p/comm 2>/dev/null)\" in youki*) \
                  grep 'State:.T' $p/status;; esac; done; true";
    while lab.shell(halted).await?.stdout.is_empty() {
        if asked.is_finished() {
            asked.await??;
            asked = exec();
        }
    }
    end(&uvm, &container, init).await?;
    // Stopped on the last step to its program, it dies with the container as if it had taken it.
    let answer = asked.await?;
    ensure!(answer.is_ok() || refusal(answer) == Some(HResult::FAIL));
    let left = lab.shell(halted).await?.stdout;
    ensure!(left.is_empty(), "{}", String::from_utf8_lossy(&left));
    Ok(())
}

async fn unread(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    let process =
        json!({"args": ["/bin/echo", "x"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    let mut exec = uvm.container_exec(&container.id, process, Stdio::OUTPUT).await?;
    let mut text = String::new();
    exec.stdout.take().context("asked for")?.read_to_string(&mut text).await?;
    // Its standard error stays open, and nobody reads it. Output that was sent would be waited for longer than that.
    ensure!(text == "x\n" && exec.wait_timeout(Duration::from_secs(20)).await? == 0, "{text}");
    ensure!(exec.stderr.is_some());
    end(&uvm, &container, init).await
}

async fn unread_input(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.script("exec <&-; echo closed; exec sleep 1000");
    container.create(&uvm).await?;
    let mut init = uvm.container_start(&container.id, Stdio::ALL).await?;
    let mut closed = [0; 7];
    let mut stdout = init.stdout.take().context("asked for")?;
    stdout.read_exact(&mut closed).await?;
    let mut stdin = init.stdin.take().context("asked for")?;
    // The agent's own write fails, and it must live on.
    while stdin.write_all(&closed).await.is_ok() {}
    lab.shell("true").await?;
    init.signal(None).await?;
    drop(stdout);
    ensure!(init.wait().await? == 137);
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn not_runnable(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?;
    lab.shell(&format!(
        "printf 'rubbish' > {0}/rootfs/bin/rubbish && chmod +x {0}/rootfs/bin/rubbish",
        container.bundle
    ))
    .await?;
    for (program, expected) in [
        ("nothing-of-that-name", HResult::FILE_NOT_FOUND),
        ("/no/such/file", HResult::FILE_NOT_FOUND),
        ("/etc/passwd", HResult::NOT_EXECUTABLE),
        ("/etc", HResult::NOT_EXECUTABLE),
    ] {
        let container = container.clone().args(&[program]);
        let created =
            uvm.container_create(&container.id, &container.bundle, container.spec.clone(), None).await;
        ensure!(refusal(created) == Some(expected), "{program}");
        // The bundle went with the failed create.
        lab.shell(&format!("test ! -e {}", container.bundle)).await?;
        lab.container().await?;
        let again = lab.container().await?;
        lab.shell(&format!("mkdir -p {1} && cp -a {0}/rootfs {1}/", again.bundle, container.bundle)).await?;
    }
    let running = lab.container().await?.args(&["/bin/sleep", "1000"]);
    running.create(&uvm).await?;
    let init = uvm.container_start(&running.id, Stdio::default()).await?;
    for (program, expected) in [("nope", HResult::FILE_NOT_FOUND), ("/etc/passwd", HResult::NOT_EXECUTABLE)] {
        let process =
            json!({"args": [program], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
        ensure!(
            refusal(uvm.container_exec(&running.id, process, Stdio::OUTPUT).await) == Some(expected),
            "exec {program}"
        );
    }
    init.signal(None).await?;
    init.wait().await?;
    uvm.container_delete(&running.id).await?;
    // Passes every check but the kernel's own, so it is found out at the start.
    let container = lab.container().await?.args(&["/bin/rubbish"]);
    lab.shell(&format!(
        "printf rubbish > {0}/rootfs/bin/rubbish && chmod +x {0}/rootfs/bin/rubbish",
        container.bundle
    ))
    .await?;
    container.create(&uvm).await?;
    ensure!(
        refusal(uvm.container_start(&container.id, Stdio::default()).await) == Some(HResult::NOT_EXECUTABLE)
    );
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn terminal(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut container =
        lab.container().await?.script("stty size; test -t 0 && test -t 1 && test -t 2 && echo all; exit 4");
    container.spec["process"]["terminal"] = json!(true);
    container.spec["process"]["consoleSize"] = json!({"height": 24, "width": 77});
    container.create(&uvm).await?;
    let mut init =
        uvm.container_start(&container.id, Stdio { stdin: true, stdout: true, stderr: false }).await?;
    let mut text = String::new();
    init.stdout.take().context("asked for")?.read_to_string(&mut text).await?;
    ensure!(text == "24 77\r\nall\r\n", "{text:?}");
    ensure!(init.wait().await? == 4);
    // Its output is done: nothing happens, and that is a success.
    init.resize(1, 1).await?;
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn notification(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut notifications = uvm.guest().notifications();
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    init.signal(None).await?;
    ensure!(init.wait().await? == 137);
    loop {
        let notification = notifications.recv().await?;
        if notification.container_id == container.id {
            ensure!(notification.details.exit_type == ExitType::ForcedExit);
            break;
        }
    }
    ensure!(init.wait().await? == 137, "init can be waited for again");
    uvm.container_delete(&container.id).await?;
    ensure!(refusal(init.wait().await) == Some(HResult::SYSTEM_NOT_FOUND));
    while let Ok(notification) = notifications.try_recv() {
        ensure!(notification.container_id != container.id, "a second notification");
    }
    // A host may delete what is gone already.
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn never_started(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?;
    container.create(&uvm).await?;
    let twice = uvm.container_create(&container.id, &container.bundle, container.spec.clone(), None).await;
    ensure!(refusal(twice) == Some(HResult::SYSTEM_ALREADY_EXISTS));
    uvm.container_delete(&container.id).await?;
    lab.shell(&format!("test ! -e {} && test ! -e /sys/fs/cgroup/pods/{}", container.bundle, container.id))
        .await?;
    Ok(())
}

async fn leaks(lab: Arc<Lab>) -> Result<()> {
    for _ in 0..4 {
        let container = lab.container().await?;
        container.run(&lab).await?;
        let (id, bundle) = (&container.id, &container.bundle);
        // Others run meanwhile, so only what has its name counts.
        let left = format!(
            "grep '{bundle}/' /proc/mounts; find /sys/fs/cgroup -name {id}; find /run/gcsrunc -name {id}; ls -d {bundle}; true"
        );
        let left = String::from_utf8(lab.shell(&left).await?.stdout)?;
        ensure!(left.is_empty(), "{left}");
    }
    Ok(())
}

async fn missing_directory(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    for (cwd, why) in [("/tmp/not/there", "No such file or directory"), ("/bin/sh/x", "Not a directory")] {
        let process = json!({"args": ["/bin/true"], "cwd": cwd, "user": {"uid": 0, "gid": 0}});
        let refused = uvm.container_exec(&container.id, process, Stdio::default()).await.map(drop);
        let text = refused.err().context("it ran")?.to_string();
        ensure!(text.contains(&format!("working directory {cwd}: {why}")), "{text}");
    }
    end(&uvm, &container, init).await?;
    // One that is missing is made, but not in place of a file.
    let mut container = lab.container().await?;
    container.spec["process"]["cwd"] = json!("/bin/sh/x");
    let text = format!("{:#}", container.create(&uvm).await.err().context("it was created")?);
    ensure!(text.contains("working directory /bin/sh/x: Not a directory"), "{text}");
    let program = VmProcess { working_directory: "/not/there".to_owned(), ..VmProcess::new(["/bin/true"]) };
    let text = uvm.exec(program).await.map(drop).err().context("it ran")?.to_string();
    ensure!(text.contains("working directory \"/not/there\": No such file or directory"), "{text}");
    Ok(())
}
