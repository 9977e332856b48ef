//! `ContainerConstraints`: what a change of limits sets, keeps and refuses. Part of the suite `limits`.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use host_bridge::uvm::Uvm;
use lcow_tests::suite::Suite;
use lcow_tests::{Lab, LabContainer};
use serde_json::{Value, json};

use crate::pods::{end, start, update_constraints};

/// The suite with the tests of this file.
pub(crate) fn add_to(suite: Suite) -> Suite {
    suite
        .test("the_same_limits_mean_the_same_for_a_new_container_and_for_a_running_one", same)
        .test("what_a_change_of_limits_leaves_out_stays", kept)
        .test("limits_beyond_memory_and_processors_are_set", beyond)
        .test("a_limit_that_cgroups_do_not_have_is_refused_by_its_name", refused)
}

/// A change of one container's limits.
pub(crate) async fn change(uvm: &Uvm, container: &LabContainer, linux: Value) -> Result<()> {
    let settings = json!({"Windows": {}, "Linux": linux});
    update_constraints(uvm, container.id.clone(), settings)
        .await
        .with_context(|| format!("changing to {linux}"))
}

async fn files(lab: &Lab, container: &LabContainer, names: &str) -> Result<String> {
    let script = format!("cd /sys/fs/cgroup/pods/{} && cat {names}", container.id);
    Ok(String::from_utf8(lab.shell(&script).await?.stdout)?.replace('\n', ";"))
}

async fn same(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let mut container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    // Memory and swap together may be no more than memory alone: there is to be no swap.
    let limits =
        json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}, "cpu": {"shares": 1024, "quota": 50_000}});
    for (name, limit) in limits.as_object().context("an object")? {
        container.spec["linux"]["resources"][name] = limit.clone();
    }
    let init = start(&uvm, &container).await?;
    let names = "memory.max memory.swap.max cpu.weight cpu.max";
    let created = files(&lab, &container, names).await?;
    ensure!(created == "33554432;0;100;50000 100000;", "{created}");
    change(&uvm, &container, limits).await?;
    let changed = files(&lab, &container, names).await?;
    ensure!(changed == created, "{created} {changed}");
    end(&uvm, &container, init).await
}

async fn kept(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    for (linux, expected) in [
        (json!({"cpu": {"quota": 50_000, "period": 100_000}}), "50000 100000;max;max;"),
        (json!({"cpu": {"period": 50_000}}), "50000 50000;max;max;"),
        (json!({"cpu": {"quota": 20_000}}), "20000 50000;max;max;"),
        (json!({"memory": {"limit": 33_554_432}}), "20000 50000;33554432;max;"),
        (json!({"memory": {"swap": 50_331_648}}), "20000 50000;33554432;16777216;"),
        (json!({"memory": {"limit": -1}, "cpu": {"quota": -1}}), "max 50000;max;max;"),
    ] {
        change(&uvm, &container, linux.clone()).await?;
        let text = files(&lab, &container, "cpu.max memory.max memory.swap.max").await?;
        ensure!(text == expected, "after {linux} {text}");
    }
    end(&uvm, &container, init).await
}

async fn beyond(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    let script = "file=$(mktemp) && truncate -s 1M $file && loop=$(losetup -f) && losetup $loop $file && \
        rm $file && cat /sys/block/${loop#/dev/}/dev";
    let device = String::from_utf8(lab.shell(script).await?.stdout)?;
    let (major, minor) = device.trim().split_once(':').context("a device's numbers")?;
    let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
    let throttle = |rate: u32| json!([{"major": major, "minor": minor, "rate": rate}]);
    for (linux, names, expected) in [
        (json!({"cpu": {"idle": 1}}), "cpu.idle", "1;".to_owned()),
        (json!({"cpu": {"idle": 0, "shares": 2}}), "cpu.idle cpu.weight", "0;1;".to_owned()),
        (json!({"cpu": {"quota": 50_000, "burst": 7_000}}), "cpu.max.burst", "7000;".to_owned()),
        (json!({"unified": {"memory.high": "16777216"}}), "memory.high", "16777216;".to_owned()),
        (
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}),
            "hugetlb.2MB.max",
            "4194304;".to_owned(),
        ),
        (json!({"blockIO": {"weight": 500}}), "io.weight", "default 4950;".to_owned()),
        (
            json!({"blockIO": {"throttleReadBpsDevice": throttle(65_536), "throttleWriteIOPSDevice": throttle(9)}}),
            "io.max",
            format!("{major}:{minor} rbps=65536 wbps=max riops=max wiops=9;"),
        ),
        (
            json!({"blockIO": {"throttleReadBpsDevice": throttle(0), "throttleWriteIOPSDevice": throttle(0)}}),
            "io.max",
            String::new(),
        ),
    ] {
        change(&uvm, &container, linux.clone()).await?;
        let text = files(&lab, &container, names).await?;
        ensure!(text == expected, "after {linux} {text}");
    }
    end(&uvm, &container, init).await
}

async fn refused(lab: Arc<Lab>) -> Result<()> {
    let uvm = lab.uvm().await?;
    let container = lab.container().await?.args(&["/bin/sleep", "1000"]);
    let init = start(&uvm, &container).await?;
    for (linux, named) in [
        (json!({"memory": {"limit": 33_554_432, "swappiness": 60}}), "memory.swappiness"),
        (json!({"pids": {"limit": 3}, "network": {"classID": 7}}), "network.classID"),
        (json!({"cpu": {"realtimeRuntime": 1000}}), "cpu.realtimeRuntime"),
        (json!({"blockIO": {"leafWeight": 100}}), "blockIO.leafWeight"),
        (json!({"memory": {"limit": "64M"}}), "memory.limit"),
        (json!({"unified": {"misc.nothing": "1"}}), "misc.nothing"),
    ] {
        let said = match change(&uvm, &container, linux.clone()).await {
            Ok(()) => anyhow::bail!("{linux} was taken"),
            Err(error) => format!("{error:#}"),
        };
        let reason = said.replace(&linux.to_string(), "");
        ensure!(reason.contains(named), "{said}");
    }
    let text = files(&lab, &container, "memory.max pids.max cpu.weight").await?;
    ensure!(text == "max;max;100;", "{text}");
    // What hosts send along because it was in the container's specification.
    let whole = json!({"devices": container.spec["linux"]["resources"]["devices"], "pids": {"limit": 9},
        "memory": {"kernel": 1_048_576, "disableOOMKiller": false}, "network": {}, "rdma": {}, "unified": null});
    change(&uvm, &container, whole).await?;
    ensure!(files(&lab, &container, "pids.max").await? == "9;");
    end(&uvm, &container, init).await
}
