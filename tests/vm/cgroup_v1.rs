//! A VM with cgroup version 1, for which hosts ask by a word on the kernel's command line.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::guest::{Process, Stdio};
use host_bridge::uvm::{BootPlan, Uvm};
use lcow_protocol::HResult;
use lcow_protocol::json::Stringified;
use lcow_protocol::messages::{GetProperties, PropertyQuery};
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer, refusal};
use serde_json::{Value, json};

use crate::constraints::change;
use crate::pods::{end, metrics, output, sandbox, start, update_constraints, workload};
use crate::{containers, kinds, pods};

pub(crate) fn suite() -> Result<Suite> {
    let lab = Lab::with_plan(BootPlan { append: "hcsshim.cgroup=v1".to_owned(), ..Lab::plan() })?;
    Ok(Suite::new("cgroup_v1", &lab)
        .test("limits_reach_the_controllers", limits)
        .test("an_exec_is_in_its_containers_cgroups", exec)
        .test("limits_of_a_running_container_change", constraints)
        .test("statistics_count_what_was_killed_for_memory", pods::statistics)
        .test("what_is_killed_for_memory_ends_with_137", out_of_memory)
        .test("processor_time_is_limited_and_counted", throttling)
        .test("devices_outside_the_rules_are_denied", containers::devices)
        .test("devices_without_a_rule_are_denied", no_rules)
        .test("a_privileged_container_has_the_devices_of_the_vm", pods::privileged)
        .test("every_process_of_a_container_is_listed", kinds::process_list)
        .test("a_container_sees_its_own_cgroups_and_cannot_lift_its_limits", view)
        .test("a_pod_limits_its_containers_and_leaves_nothing", pod)
        .test("virtual_pods_share_a_vm_and_nothing_else", kinds::virtual_pods)
        .test("what_init_leaves_behind_is_killed", left_behind)
        .test("what_a_container_has_frozen_is_killed_too", frozen)
        .test("a_cgroup_that_is_gone_has_no_statistics", gone)
        .test("fifty_containers_leave_nothing_behind", many))
}

/// What a shell script in the VM prints.
async fn ask(lab: &Lab, script: &str) -> Result<String> {
    Ok(String::from_utf8(lab.shell(script).await?.stdout)?)
}

async fn limited(lab: &Lab, script: &str, resources: &[(&str, Value)]) -> Result<LabContainer> {
    let mut container = lab.container().await?.script(script);
    for (name, limit) in resources {
        container.spec["linux"]["resources"][*name] = limit.clone();
    }
    Ok(container)
}

async fn limits(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let text = ask(&lab, "cd /sys/fs/cgroup; cat memory/memory.use_hierarchy; cat /proc/self/cgroup").await?;
    ensure!(text.starts_with("1\n") && text.contains(":memory:/gcs\n") && !text.contains("0::"), "{text}");
    let resources = [
        // What the kernel does not know any more, and what asks for nothing.
        ("memory", json!({"limit": 64 << 20, "swap": 128 << 20, "kernel": 1 << 20, "reservation": 1 << 20})),
        ("cpu", json!({"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": ""})),
        ("pids", json!({"limit": 17})),
    ];
    let container = limited(&lab, "exec sleep 1000", &resources).await?;
    let init = start(&uvm, &container).await?;
    let of = |controller: &str, file: &str| format!("{controller}/pods/{}/{controller}.{file}", container.id);
    let files = [
        of("memory", "limit_in_bytes"),
        of("memory", "memsw.limit_in_bytes"),
        of("cpu", "shares"),
        of("cpu", "cfs_quota_us"),
        of("cpuset", "cpus"),
        of("pids", "max"),
    ];
    let text = ask(&lab, &format!("cd /sys/fs/cgroup && cat {}", files.join(" "))).await?;
    ensure!(text == "67108864\n134217728\n512\n50000\n0\n17\n", "{text}");
    end(&uvm, &container, init).await?;
    let script = "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done";
    let forks = limited(&lab, script, &[("pids", json!({"limit": 8}))]).await?.run(&lab).await?;
    let error = String::from_utf8_lossy(&forks.stderr).into_owned();
    ensure!(forks.status != 0 && error.contains("fork"), "{} {error}", forks.status);
    Ok(())
}

async fn run(uvm: &Uvm, container: &LabContainer, args: &[&str], stdio: Stdio) -> Result<Process> {
    let process = json!({"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    Ok(uvm.container_exec(&container.id, process, stdio).await?)
}

async fn exec(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    let exec = run(&uvm, &container, &["/bin/sleep", "1000"], Stdio::default()).await?;
    let text = ask(&lab, &format!("cat /proc/{}/cgroup /proc/{}/cgroup", init.pid, exec.pid)).await?;
    let (own, other) = text.split_at(text.len() / 2);
    ensure!(own == other, "{text}");
    for controller in ["memory", "pids", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb"] {
        ensure!(own.contains(&format!(":{controller}:/pods/{}\n", container.id)), "{controller}: {own}");
    }
    exec.signal(None).await?;
    ensure!(exec.wait().await? == 137);
    end(&uvm, &container, init).await
}

async fn constraints(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = limited(&lab, "exec sleep 1000", &[("memory", json!({"limit": 32 << 20}))]).await?;
    let init = start(&uvm, &container).await?;
    let memory = format!("/sys/fs/cgroup/memory/pods/{}", container.id);
    let cpu = format!("/sys/fs/cgroup/cpu/pods/{}", container.id);
    let show = format!(
        "cat {memory}/memory.limit_in_bytes {memory}/memory.memsw.limit_in_bytes {cpu}/cpu.cfs_quota_us"
    );
    // Up and down again: each has to be taken by the kernel in its own order.
    for (limit, swap, quota) in
        [(64 << 20, 128 << 20, 20_000), (256 << 20, 512 << 20, -1), (16 << 20, 16 << 20, 10_000)]
    {
        let limits = json!({"Windows": {}, "Linux": {"memory": {"limit": limit, "swap": swap},
            "cpu": {"quota": quota, "period": 100_000}}});
        update_constraints(&uvm, container.id.clone(), limits).await?;
        let text = ask(&lab, &show).await?;
        ensure!(text == format!("{limit}\n{swap}\n{quota}\n"), "{text}");
    }
    change(&uvm, &container, json!({"memory": {"swappiness": 7}, "cpu": {"period": 50_000, "idle": 1}}))
        .await?;
    let more =
        format!("{memory}/memory.swappiness {cpu}/cpu.cfs_period_us {cpu}/cpu.cfs_quota_us {cpu}/cpu.idle");
    let text = ask(&lab, &format!("cat {more}")).await?;
    ensure!(text == "7\n50000\n10000\n1\n", "{text}");
    let unified = change(&uvm, &container, json!({"unified": {"memory.high": "1"}})).await;
    let said = format!("{:#}", unified.err().context("only version 2 has these files")?);
    ensure!(said.contains("unified.memory.high is no limit"), "{said}");
    end(&uvm, &container, init).await
}

async fn out_of_memory(lab: Arc<Lab>) -> Result<()> {
    let script = "exec dd if=/dev/zero of=/dev/null bs=64M count=1";
    let container = limited(&lab, script, &[("memory", json!({"limit": 16 << 20}))]).await?;
    let output = container.run(&lab).await?;
    ensure!(output.status == 137, "{output:?}");
    Ok(())
}

async fn throttling(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let limit = ("cpu", json!({"quota": 5_000, "period": 100_000}));
    let container = limited(&lab, "while true; do true; done", &[limit]).await?;
    let init = start(&uvm, &container).await?;
    let stat = format!("/sys/fs/cgroup/cpu/pods/{}/cpu.stat", container.id);
    lab.shell(&format!("while grep -q 'nr_throttled 0' {stat}; do true; done")).await?;
    let metrics = metrics(&uvm, &container.id).await?;
    ensure!(metrics["cpu"]["throttling"]["throttled_periods"].as_u64() > Some(0), "{metrics}");
    ensure!(metrics["cpu"]["usage"]["per_cpu"].as_array().is_some_and(|each| !each.is_empty()), "{metrics}");
    end(&uvm, &container, init).await
}

async fn no_rules(lab: Arc<Lab>) -> Result<()> {
    for resources in [json!({"devices": []}), Value::Null] {
        let mut container = lab.container().await?.script("cat /dev/null && cat /tmp/kmsg");
        lab.shell(&format!("mknod {}/rootfs/tmp/kmsg c 1 11", container.bundle)).await?;
        container.spec["linux"]["resources"] = resources;
        let output = container.run(&lab).await?;
        let error = String::from_utf8(output.stderr)?;
        ensure!(output.status == 1 && error.contains("'/tmp/kmsg': Operation not permitted"), "{error}");
    }
    Ok(())
}

fn mount_cgroups(container: &mut LabContainer, options: &Value) -> Result<()> {
    let mount =
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options});
    container.spec["mounts"].as_array_mut().context("mounts")?.push(mount);
    Ok(())
}

async fn view(lab: Arc<Lab>) -> Result<()> {
    let script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max; \
        echo 99 > pids/pids.max; mkdir x; cat memory/memory.limit_in_bytes pids/pids.max; ls";
    let resources = [("memory", json!({"limit": 32 << 20})), ("pids", json!({"limit": 11}))];
    let mut container = limited(&lab, script, &resources).await?;
    mount_cgroups(&mut container, &json!(["nosuid", "noexec", "nodev", "ro"]))?;
    let result = container.run(&lab).await?;
    let (text, error) = (String::from_utf8(result.stdout)?, String::from_utf8(result.stderr)?);
    let limits = "33554432\n11\n";
    ensure!(text.starts_with(&limits.repeat(2)) && text.contains("\nfreezer\n"), "{text} {error}");
    ensure!(error.matches("Read-only file system").count() == 2, "{error}");
    // For writing only where the specification says so.
    let mut nests =
        limited(&lab, "mkdir /sys/fs/cgroup/pids/x && echo 5 > /sys/fs/cgroup/pids/x/pids.max", &resources)
            .await?;
    mount_cgroups(&mut nests, &json!(["nosuid", "noexec", "nodev"]))?;
    output(&lab, &nests).await?;
    ensure!(ask(&lab, &format!("find /sys/fs/cgroup -name {}", nests.id)).await? == "");
    Ok(())
}

async fn pod(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut pod = sandbox(&lab).await?;
    pod.spec["linux"]["resources"]["memory"] = json!({"limit": 48 << 20});
    pod.spec["linux"]["resources"]["cpu"] = json!({"cpus": "0"});
    let init = start(&uvm, &pod).await?;
    let cgroup = |controller: &str| format!("/sys/fs/cgroup/{controller}/pods/{}", pod.id);
    let files = format!("{}/memory.limit_in_bytes {}/cpuset.cpus", cgroup("memory"), cgroup("cpuset"));
    ensure!(ask(&lab, &format!("cat {files}")).await? == "50331648\n0\n");
    // It has no limit of its own.
    let mut greedy = workload(&lab, &pod, "exec dd if=/dev/zero of=/dev/null bs=96M count=1").await?;
    greedy.spec["linux"]["namespaces"]
        .as_array_mut()
        .context("namespaces")?
        .iter_mut()
        .filter(|namespace| namespace["type"] == "pid")
        .for_each(|namespace| namespace["path"] = format!("/proc/{}/ns/pid", init.pid).into());
    mount_cgroups(&mut greedy, &json!(["ro"]))?;
    let killed = greedy.run(&lab).await?;
    ensure!(killed.status == 137, "{killed:?}");
    end(&uvm, &pod, init).await?;
    ensure!(ask(&lab, &format!("find /sys/fs/cgroup -name {}", pod.id)).await? == "");
    Ok(())
}

async fn left_behind(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    // One of them makes further processes all the time.
    let mut container = limited(&lab, "sleep 1000 & while true; do (true); done & exec true", &[]).await?;
    container.leave("pid")?;
    let init = start(&uvm, &container).await?;
    ensure!(init.wait().await? == 0);
    // Killed is not yet gone.
    let procs = format!("/sys/fs/cgroup/pids/pods/{}/cgroup.procs", container.id);
    lab.shell(&format!("while grep -q . {procs}; do true; done")).await?;
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn frozen(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let script = "cd /sys/fs/cgroup/freezer && mkdir x && { sleep 1000 & } && echo $! > x/cgroup.procs && echo FROZEN > x/freezer.state";
    let mut container = limited(&lab, script, &[]).await?;
    mount_cgroups(&mut container, &json!([]))?;
    container.leave("pid")?;
    let init = start(&uvm, &container).await?;
    ensure!(init.wait().await? == 0);
    uvm.container_delete(&container.id).await?;
    ensure!(ask(&lab, &format!("find /sys/fs/cgroup -name {}", container.id)).await? == "");
    Ok(())
}

async fn gone(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/true"]);
    container.create(&uvm).await?;
    let init = uvm.container_start(&container.id, Stdio::default()).await?;
    ensure!(init.wait().await? == 0);
    ensure!(metrics(&uvm, &container.id).await?["memory"]["usage"]["max"].as_u64() > Some(0));
    lab.shell(&format!("rmdir /sys/fs/cgroup/*/pods/{}", container.id)).await?;
    let query = Stringified(PropertyQuery { property_types: vec!["Statistics".to_owned()] });
    let refused = uvm.guest().call(&container.id, GetProperties { query }).await;
    ensure!(refusal(refused) == Some(HResult::FAIL), "with version 1 that is an error");
    uvm.container_delete(&container.id).await?;
    Ok(())
}

async fn many(lab: Arc<Lab>) -> Result<()> {
    for _ in 0..50 {
        let container = lab.container().await?;
        ensure!(output(&lab, &container).await? == "hello\n");
        let left = ask(&lab, &format!("find /sys/fs/cgroup -name {}", container.id)).await?;
        ensure!(left.is_empty(), "{left}");
    }
    Ok(())
}
