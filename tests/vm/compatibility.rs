//! What a specification leaves unsaid, or asks for that nobody here has, means what it does for other runtimes.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::Stdio;
use lcow_protocol::HResult;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::{Value, json};

use crate::pods::{create, end, mount, output, start};
use crate::specification::add_mount;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    Suite::new("compatibility", lab)
        .test("a_process_whose_capabilities_are_not_named_has_none", no_capabilities)
        .test("a_capability_that_nobody_knows_is_left_out", unknown_capability)
        .test("without_resources_there_are_the_usual_devices", no_resources)
        .test("a_limit_that_asks_for_nothing_is_none", no_limits)
        .test("memory_has_the_permissions_of_the_directory_it_hides", memory)
        .test("nothing_is_mounted_over_the_kernels_files", kernel_files)
        .test("an_empty_hostname_leaves_the_machines", hostname)
        .test("a_destination_may_have_dots", dots)
}

fn object(value: &mut Value) -> Result<&mut serde_json::Map<String, Value>> {
    value.as_object_mut().context("an object")
}

async fn exec(lab: &Lab, container: &LabContainer, mut process: Value) -> Result<String> {
    process["cwd"] = json!("/");
    process["env"] = json!(["PATH=/bin"]);
    process["user"] = json!({"uid": 0, "gid": 0});
    let uvm = lab.uvm().await?;
    let output = uvm.container_exec(&container.id, process, Stdio::OUTPUT).await?.output().await?;
    Ok(String::from_utf8(output.stdout)?)
}

const CAPABILITIES: &str = "grep -e CapPrm -e CapEff -e CapBnd /proc/self/status";

/// The number of `CAP_KILL` (capability.h).
const KILL: u32 = 5;

fn capabilities(set: u64) -> String {
    format!("CapPrm:\t{set:016x}\nCapEff:\t{set:016x}\nCapBnd:\t{set:016x}\n")
}

async fn no_capabilities(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let unnamed = async |script: &str, seccomp: &Value| {
        let mut container = lab.container().await?.script(script);
        object(&mut container.spec["process"])?.remove("capabilities");
        container.spec["linux"]["seccomp"] = seccomp.clone();
        anyhow::Ok(container)
    };
    for seccomp in [Value::Null, json!({"defaultAction": "SCMP_ACT_ALLOW"})] {
        let seen = output(&lab, &unnamed(CAPABILITIES, &seccomp).await?).await?;
        ensure!(seen == capabilities(0), "{seen}");
        let container = unnamed("exec sleep 1000", &seccomp).await?;
        let init = start(&uvm, &container).await?;
        let seen = exec(&lab, &container, json!({"args": ["/bin/sh", "-c", CAPABILITIES]})).await?;
        ensure!(seen == capabilities(0), "exec: {seen}");
        end(&uvm, &container, init).await?;
    }
    Ok(())
}

async fn unknown_capability(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let names = json!(["CAP_KILL", "CAP_FUTURE"]);
    let names = json!({"bounding": names, "effective": names, "permitted": names});
    let mut container = lab.container().await?.script(CAPABILITIES);
    container.spec["process"]["capabilities"] = names.clone();
    let seen = output(&lab, &container).await?;
    ensure!(seen == capabilities(1 << KILL), "{seen}");
    let container = lab.container().await?.script("exec sleep 1000");
    let init = start(&uvm, &container).await?;
    let process = json!({"args": ["/bin/sh", "-c", CAPABILITIES], "capabilities": names});
    let seen = exec(&lab, &container, process).await?;
    ensure!(seen == capabilities(1 << KILL), "exec: {seen}");
    end(&uvm, &container, init).await
}

async fn no_resources(lab: Arc<Lab>) -> Result<()> {
    let script = "mknod /disk b 8 0; head -c 1 /disk 2>&1; head -c 1 /dev/zero | wc -c; true";
    let mut container = lab.container().await?.script(script);
    for set in ["bounding", "effective", "permitted"] {
        container.spec["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
    }
    object(&mut container.spec["linux"])?.remove("resources");
    let seen = output(&lab, &container).await?;
    ensure!(seen == "head: /disk: Operation not permitted\n1\n", "{seen}");
    Ok(())
}

async fn no_limits(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    for (limits, expected) in [
        (json!({"memory": {"limit": 64 << 20, "swap": 0}}), "67108864;max;max;"),
        (json!({"memory": {"swap": 0}, "pids": {"limit": 0}}), "max;max;max;"),
        (json!({"pids": {"limit": -1}}), "max;max;max;"),
        (
            json!({"pids": {"limit": 50}, "cpu": {"realtimeRuntime": 1000, "realtimePeriod": 9000}}),
            "max;max;50;",
        ),
        (json!({"blockIO": {"leafWeight": 100}}), "max;max;max;"),
    ] {
        let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
        object(&mut container.spec["linux"]["resources"])?.extend(object(&mut limits.clone())?.clone());
        let init = start(&uvm, &container).await.with_context(|| limits.to_string())?;
        let script =
            format!("cd /sys/fs/cgroup/pods/{} && cat memory.max memory.swap.max pids.max", container.id);
        let seen = String::from_utf8(lab.shell(&script).await?.stdout)?.replace('\n', ";");
        ensure!(seen == expected, "{limits}: {seen}");
        end(&uvm, &container, init).await?;
    }
    Ok(())
}

async fn memory(lab: Arc<Lab>) -> Result<()> {
    let volume = lab.unique("/var/lab/volume");
    lab.shell(&format!("mkdir -p {volume}/deep && chmod 2750 {volume}/deep")).await?;
    let script = "busybox stat -c '%n %a' /private /link/. /new /said /data/deep";
    let mut container = lab.container().await?.script(script);
    let tree = "mkdir -m 700 private target && ln -s /target link";
    lab.shell(&format!("cd {}/rootfs && {tree}", container.bundle)).await?;
    mount(&mut container, &volume, "/data", &json!(["rbind"]));
    for (place, options) in [
        ("/private", json!(["size=64k"])),
        ("/link", Value::Null),
        ("/new", Value::Null),
        ("/said", json!(["mode=711"])),
        ("/data/deep", Value::Null),
    ] {
        let mut memory = json!({"destination": place, "type": "tmpfs", "source": "tmpfs"});
        if !options.is_null() {
            memory["options"] = options;
        }
        add_mount(&mut container, memory)?;
    }
    let seen = output(&lab, &container).await?;
    // A new directory has none to give, and the kernel's own are everybody's.
    let expected = "/private 700\n/link/. 700\n/new 1777\n/said 711\n/data/deep 2750\n";
    ensure!(seen == expected, "{seen}");
    Ok(())
}

async fn kernel_files(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let tmpfs = |place: &str| json!({"destination": place, "type": "tmpfs", "source": "tmpfs"});
    let bind = |source: &str, place: &str| json!({"destination": place, "type": "bind", "source": source, "options": ["rbind"]});
    let directory = lab.unique("/var/lab/volume");
    lab.shell(&format!("mkdir -p {directory} && echo lied > {directory}/file")).await?;
    for refused in [
        tmpfs("/proc"),
        tmpfs("/proc/sys/kernel"),
        tmpfs("/innocent/kernel"),
        bind(&directory, "/proc"),
        bind(&directory, "/proc/self/attr"),
        bind("/dev/null", "/proc/sysrq-trigger"),
    ] {
        let mut container = lab.container().await?.script("true");
        lab.shell(&format!("ln -s /proc/sys {}/rootfs/innocent", container.bundle)).await?;
        add_mount(&mut container, refused.clone())?;
        ensure!(refusal(create(&uvm, &container).await) == Some(HResult::FAIL), "{refused}");
    }
    let mut container = lab.container().await?.script("cat /proc/uptime; test -d /proc/1/task && echo all");
    add_mount(&mut container, bind("/proc", "/proc"))?;
    add_mount(&mut container, bind(&format!("{directory}/file"), "/proc/uptime"))?;
    let seen = output(&lab, &container).await?;
    ensure!(seen == "lied\nall\n", "{seen}");
    Ok(())
}

async fn hostname(lab: Arc<Lab>) -> Result<()> {
    let machine = String::from_utf8(lab.shell("hostname").await?.stdout)?;
    let mut container = lab.container().await?.script("hostname");
    container.spec["hostname"] = json!("");
    let seen = output(&lab, &container).await?;
    ensure!(seen == machine && seen.len() > 1, "{seen} is not {machine}");
    Ok(())
}

async fn dots(lab: Arc<Lab>) -> Result<()> {
    let mut container = lab.container().await?.script("grep -c ' /b/d tmpfs ' /proc/mounts");
    add_mount(
        &mut container,
        json!({"destination": "/a/../../../b/./c/../d", "type": "tmpfs", "source": "tmpfs"}),
    )?;
    let seen = output(&lab, &container).await?;
    ensure!(seen == "1\n", "{seen}");
    Ok(())
}
