//! Limits, signals and memory: what the agent sets, delivers and watches.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_bridge::guest::{LogLine, Process, Stdio, VmProcess};
use host_bridge::uvm::{BootPlan, Uvm};
use host_bridge::vmm::Exit;
use lcow_protocol::messages::{ModifyRequest, ModifySettings, ShutdownForced};
use lcow_protocol::{ContainerId, HResult};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::constraints;
use crate::devices::plug;
use crate::pods::{end, output, sandbox, start, workload};
use crate::storage::modify;

pub(crate) fn suite(lab: &Arc<Lab>) -> Suite {
    let suite = Suite::new("limits", lab)
        .test("an_exec_has_its_containers_limits_filter_and_capabilities", exec)
        .test("the_agent_and_what_it_starts_are_in_a_cgroup_of_their_own", own_cgroup)
        .test("core_files_are_limited_by_annotation", core_files)
        .test("every_signal_from_1_to_64_is_delivered", signals)
        .test("the_pods_limit_follows_the_machines_memory", machine_memory)
        .test("memory_that_is_plugged_is_the_containers", |_| plugged_memory())
        .test("the_agents_own_memory_is_watched", |_| own_memory())
        .test("the_machine_is_powered_off_with_a_stuck_file_system", |_| stuck());
    constraints::add_to(suite)
}

async fn exec(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    container.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 512}]);
    container.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]});
    let init = start(&uvm, &container).await?;
    // No capabilities are named, so the container's count; a host's limits for an exec do not.
    let script = "ulimit -n; ulimit -Hn; ulimit -Hc; grep -e CapEff -e Seccomp: /proc/self/status; busybox mkdir /tmp/x";
    let process = json!({"args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0}, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 5}]});
    let output = uvm.container_exec(&container.id, process, Stdio::OUTPUT).await?.output().await?;
    let (text, error) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    let expected = "77\n88\n1\nCapEff:\t00000000000000e1\nSeccomp:\t2\n";
    ensure!(text == expected && error.contains("not permitted") && output.status == 1, "{text} {error}");
    end(&uvm, &container, init).await
}

async fn own_cgroup(lab: Arc<Lab>) -> Result<()> {
    let script = "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat gcs/memory.max; \
                  for pid in $(cat gcs/cgroup.procs); do cat /proc/$pid/comm; done; cat cgroup.procs | head -n 1";
    let output = lab.shell(script).await?;
    let text = String::from_utf8(output.stdout)?;
    let names: Vec<&str> = text.lines().collect();
    ensure!(names.starts_with(&["0::/gcs", "max"]) && names.last() == Some(&"1"), "{text}");
    ensure!(names.contains(&"gcs") && names.contains(&"gcs-workers"), "{text}");
    Ok(())
}

async fn core_files(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let pod = sandbox(&lab).await?;
    let init = start(&uvm, &pod).await?;
    // The shell counts in blocks of 512 bytes.
    let mut container = workload(&lab, &pod, "ulimit -Sc; ulimit -Hc").await?;
    container.spec["annotations"]["io.microsoft.lcow.rlimitcore"] = json!("1024;524288");
    ensure!(output(&lab, &container).await? == "2\n1024\n");
    end(&uvm, &pod, init).await
}

/// What a signal does to a program that has not said anything about it and whose process group is nobody's job
/// (signal(7), setpgid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disposition {
    Ends,
    Stops,
    Nothing,
}

fn disposition(signal: i32) -> Disposition {
    match signal {
        17 | 18 | 20..=23 | 28 => Disposition::Nothing,
        19 => Disposition::Stops,
        _ => Disposition::Ends,
    }
}

async fn signals(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    for signal in 1..=64 {
        let delivered = match disposition(signal) {
            Disposition::Ends => ends(&uvm, &container, signal).await,
            Disposition::Stops => stops(&lab, &uvm, &container, signal).await,
            Disposition::Nothing => is_caught(&uvm, &container, signal).await,
        };
        delivered.with_context(|| format!("signal {signal}"))?;
    }
    for none in [-1, 65, 1000] {
        ensure!(refusal(init.signal(Some(none)).await) == Some(HResult::FAIL), "there is no signal {none}");
    }
    end(&uvm, &container, init).await
}

async fn run(uvm: &Uvm, container: &LabContainer, args: &[&str], stdio: Stdio) -> Result<Process> {
    let process = json!({"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    Ok(uvm.container_exec(&container.id, process, stdio).await?)
}

async fn ends(uvm: &Uvm, container: &LabContainer, signal: i32) -> Result<()> {
    let process = run(uvm, container, &["/bin/sleep", "1000"], Stdio::default()).await?;
    process.signal(Some(signal)).await?;
    let status = process.wait().await?;
    ensure!(status == 128 + signal.cast_unsigned(), "{status}");
    Ok(())
}

async fn stops(lab: &Lab, uvm: &Uvm, container: &LabContainer, signal: i32) -> Result<()> {
    let process = run(uvm, container, &["/bin/sleep", "1000"], Stdio::default()).await?;
    process.signal(Some(signal)).await?;
    lab.shell(&format!("until grep -q '^State:.T' /proc/{}/status; do true; done", process.pid)).await?;
    process.signal(None).await?;
    ensure!(process.wait().await? == 137);
    Ok(())
}

async fn is_caught(uvm: &Uvm, container: &LabContainer, signal: i32) -> Result<()> {
    let script = format!("trap 'exit 99' {signal}; echo up; while true; do sleep 1; done");
    let streams = Stdio { stdin: false, stdout: true, stderr: false };
    let mut process = run(uvm, container, &["/bin/sh", "-c", &script], streams).await?;
    let mut ready = [0; 3];
    let mut stdout = process.stdout.take().context("asked for")?;
    stdout.read_exact(&mut ready).await?;
    // The status waits until its host has closed this.
    drop(stdout);
    process.signal(Some(signal)).await?;
    ensure!(process.wait().await? == 99);
    Ok(())
}

async fn machine_memory(_: Arc<Lab>) -> Result<()> {
    const RESERVE: u64 = 75 << 20;
    // Memory that nothing immovable is put into can be taken away while the machine runs.
    let lab = Lab::with_plan(BootPlan { append: "movablecore=512M".to_owned(), ..Lab::plan() })?;
    let uvm = lab.uvm().await?;
    let (limit, total) = figures(&lab).await?;
    ensure!(limit == total - RESERVE, "{limit} of {total}");
    let script = "for b in $(ls -d /sys/devices/system/memory/memory* | sort -r); do \
                  echo offline > $b/state 2>/dev/null && echo $b && exit 0; done; exit 1";
    let block = String::from_utf8(lab.shell(script).await?.stdout)?;
    update_limit(&uvm).await?;
    let (less, remaining) = figures(&lab).await?;
    ensure!(remaining < total && less == remaining - RESERVE, "{less} of {remaining}");
    lab.shell(&format!("echo online_movable > {}/state", block.trim())).await?;
    update_limit(&uvm).await?;
    ensure!(figures(&lab).await? == (limit, total));
    for verb in ["Add", "Remove"] {
        let refused = modify(&uvm, verb, "PodCgroupMemoryLimit", Value::Null).await;
        ensure!(refusal(refused) == Some(HResult::FAIL), "{verb}");
    }
    Ok(())
}

async fn plugged_memory() -> Result<()> {
    const MORE_MIB: u32 = 256;
    let plan = BootPlan { memory_mib: 512, max_memory_mib: Some(1024), ..Lab::plan() };
    let lab = Lab::with_plan(plan)?;
    let uvm = lab.uvm().await?;
    let (limit, total) = figures(&lab).await?;
    uvm.add_memory(MORE_MIB).await?;
    // The guest takes it into use in the background.
    let wait = format!(
        "until [ $(grep MemTotal /proc/meminfo | grep -o '[0-9]*') -gt {} ]; do true; done",
        (total >> 10) + 200_000
    );
    lab.shell(&wait).await?;
    update_limit(&uvm).await?;
    let (raised, grown) = figures(&lab).await?;
    let more = u64::from(MORE_MIB) << 20;
    ensure!(grown == total + more && raised == limit + more, "{limit} of {total}, then {raised} of {grown}");
    // More than there was before can be used, and the device through which we talk to the VM reaches it, too.
    let fill = "mkdir /run/fill && mount -t tmpfs -o size=90% none /run/fill && \
        dd if=/dev/zero of=/run/fill/file bs=1M count=560 2>/dev/null && tail -c 4000000 /run/fill/file";
    let answer = lab.shell(fill).await?.stdout;
    ensure!(answer.len() == 4_000_000 && answer.iter().all(|byte| *byte == 0), "{} bytes", answer.len());
    ensure!(uvm.add_memory(512).await.is_err(), "more than the plan allows");
    Ok(())
}

/// The limit of all containers and the machine's memory, in bytes.
async fn figures(lab: &Lab) -> Result<(u64, u64)> {
    let script = "cat /sys/fs/cgroup/pods/memory.max; grep MemTotal /proc/meminfo | grep -o '[0-9]*'";
    let text = String::from_utf8(lab.shell(script).await?.stdout)?;
    let mut lines = text.lines().map(str::parse::<u64>);
    let mut next = || anyhow::Ok(lines.next().context("too few lines")??);
    Ok((next()?, next()? << 10))
}

async fn update_limit(uvm: &Uvm) -> Result<()> {
    let request = ModifyRequest {
        request_type: "Update".into(),
        resource_type: "PodCgroupMemoryLimit".into(),
        settings: Value::Null,
    };
    uvm.guest().call(&ContainerId::null(), ModifySettings { request }).await?;
    Ok(())
}

async fn own_memory() -> Result<()> {
    const ALARM: u64 = 48 << 20;
    let init = format!(
        "-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info -gcs-mem-limit-bytes {ALARM}"
    );
    let lab = Lab::with_plan(BootPlan { init_args: Some(init), ..Lab::plan() })?;
    let uvm = lab.uvm().await?;
    let (lines, mut further) = uvm.guest().logs().subscribe();
    ensure!(!lines.iter().any(exceeded), "it uses less: {lines:?}");
    // A process of the VM is in the agent's cgroup; it stays until the line has been read.
    let hog = uvm.exec(VmProcess::new(["/bin/busybox", "tail", "-c", "67108864", "/dev/zero"])).await?;
    // Sooner than the machine's memory is looked at.
    let wait = async {
        loop {
            let line = further.recv().await?;
            if exceeded(&line) {
                return anyhow::Ok(line);
            }
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(40), wait).await.context("no line in the log")??;
    hog.signal(None).await?;
    check_warning(&line, "/gcs", ALARM)
}

fn exceeded(line: &LogLine) -> bool {
    line.message() == "memory usage for cgroup exceeded threshold"
}

/// All fields of spec section 11.3.
fn check_warning(line: &LogLine, cgroup: &str, threshold: u64) -> Result<()> {
    let LogLine::Json(fields) = line else { bail!("{line:?} is not JSON") };
    ensure!(fields["cgroup"] == cgroup && fields["thresholdBytes"] == threshold, "{fields:?}");
    ensure!(fields["count"] == 1 && fields["cgroup_version"] == "v2", "{fields:?}");
    ensure!(fields["memoryUsage"].as_u64() > Some(threshold), "{fields:?}");
    for name in
        ["memoryUsageMax", "memoryUsageLimit", "swapUsage", "swapUsageMax", "swapUsageLimit", "kernelUsage"]
    {
        ensure!(fields.get(name).is_some_and(Value::is_u64), "{name}: {fields:?}");
    }
    for name in ["gcsStartTime", "time"] {
        ensure!(fields[name].as_str().is_some_and(|time| time.ends_with('Z')), "{name}: {fields:?}");
    }
    ensure!(fields["level"] == "warning", "{fields:?}");
    Ok(())
}

async fn stuck() -> Result<()> {
    let lab = Lab::with_plan(Lab::plan())?;
    let uvm = lab.uvm().await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("disk");
    std::fs::File::create(&path)?.set_len(64 << 20)?;
    let lun = plug(&uvm, &path, false).await?;
    let settings =
        json!({"MountPath": "/run/below", "Lun": lun.get(), "EnsureFilesystem": true, "Filesystem": "ext4"});
    modify(&uvm, "Add", "MappedVirtualDisk", settings).await?;
    // A file system in a file of another one that takes no more writes: what is written to it can never be finished.
    let script = "truncate -s 32M /run/below/file && loop=$(losetup -f) && losetup $loop /run/below/file && \
        /sbin/mkfs.ext4 -F $loop && mkdir /run/above && mount -t ext4 $loop /run/above && \
        dd if=/dev/zero of=/run/above/dirty bs=64k count=64 2>/dev/null && fsfreeze --freeze /run/below";
    lab.shell(script).await?;
    let sync = uvm.exec(VmProcess::new(["/bin/sync"])).await?;
    ensure!(
        refusal(sync.wait_timeout(Duration::from_secs(3)).await) == Some(HResult::TIMEOUT),
        "the file system is not stuck"
    );
    // There is no answer to be had, and none is waited for.
    let asked = Arc::clone(&uvm);
    let request =
        tokio::spawn(async move { asked.guest().call(&ContainerId::null(), ShutdownForced {}).await });
    let exit =
        tokio::time::timeout(Duration::from_mins(1), uvm.ended()).await.context("the machine goes on")?;
    request.abort();
    ensure!(exit == Exit::PoweredOff, "{exit}");
    Ok(())
}
