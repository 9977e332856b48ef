use std::path::PathBuf;

use serde_json::json;

use super::*;

/// A cgroup whose files say `now`.
fn cgroup(name: &str, now: &[(&str, &str)]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("limits-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    for (file, text) in now {
        fs::write(path.join(file), text).unwrap();
    }
    path
}

fn lines(resources: &Value, cgroup: &Path) -> Vec<String> {
    let line = |Setting { file, text }: Setting| format!("{file} {text}");
    settings(resources, cgroup).unwrap().into_iter().map(line).collect()
}

fn refusal(resources: &Value, cgroup: &Path) -> String {
    settings(resources, cgroup).unwrap_err().to_string()
}

const NOWHERE: &str = "/no/such/cgroup";

#[test]
fn limits_become_files() {
    let resources = json!({"memory": {"limit": 134_217_728, "reservation": 1, "swap": 201_326_592},
        "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0-1"}, "pids": {"limit": 17}});
    let expected = [
        "memory.low 1",
        "pids.max 17",
        "cpuset.cpus 0-1",
        "memory.swap.max 67108864",
        "memory.max 134217728",
        "cpu.weight 100",
        "cpu.max 50000 100000",
    ];
    assert_eq!(lines(&resources, Path::new(NOWHERE)), expected);
}

#[test]
fn nothing_asked_for_is_nothing_written_and_minus_one_is_no_limit() {
    let nowhere = Path::new(NOWHERE);
    for nothing in [
        json!({}),
        Value::Null,
        json!({"memory": {"limit": 0}, "cpu": {"shares": 0, "quota": 0, "cpus": ""}, "unified": null}),
    ] {
        assert!(lines(&nothing, nowhere).is_empty(), "{nothing}");
    }
    let lifted = json!({"memory": {"limit": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}});
    let expected = ["pids.max max", "memory.swap.max max", "memory.max max", "cpu.max max 100000"];
    assert_eq!(lines(&lifted, nowhere), expected);
}

/// The ends and the middle of the curve, and what is beyond.
#[test]
fn shares_become_weights_on_the_curve_of_other_runtimes() {
    for (shares, weight) in [
        (1, "1"),
        (2, "1"),
        (512, "59"),
        (1024, "100"),
        (262_143, "10000"),
        (262_144, "10000"),
        (1 << 40, "10000"),
    ] {
        assert_eq!(weight_of(shares), weight, "{shares}");
    }
}

#[test]
fn half_of_a_bandwidth_leaves_the_other_half() {
    let path = cgroup("bandwidth", &[("cpu.max", "50000 20000\n"), ("cpu.max.burst", "1000\n")]);
    assert_eq!(lines(&json!({"cpu": {"period": 50_000}}), &path), ["cpu.max 50000 50000"]);
    assert_eq!(lines(&json!({"cpu": {"quota": 10_000}}), &path), ["cpu.max 10000 20000"]);
    assert_eq!(lines(&json!({"cpu": {"quota": -1}}), &path), ["cpu.max max 20000"]);
    // Which is first depends on which is larger at the moment.
    let raised = json!({"cpu": {"quota": 90_000, "burst": 80_000}});
    assert_eq!(lines(&raised, &path), ["cpu.max 90000 20000", "cpu.max.burst 80000"]);
    let lowered = json!({"cpu": {"quota": 500, "burst": 0}});
    assert_eq!(lines(&lowered, &path), ["cpu.max.burst 0", "cpu.max 500 20000"]);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn an_idle_cgroup_gets_no_weight_and_one_that_is_woken_does() {
    let idle = |idle: i64| lines(&json!({"cpu": {"shares": 2, "idle": idle}}), Path::new(NOWHERE));
    assert_eq!(idle(1), ["cpu.idle 1"]);
    assert_eq!(idle(0), ["cpu.idle 0", "cpu.weight 1"]);
}

#[test]
fn swap_counts_from_the_limit_of_memory_that_there_is() {
    let path = cgroup("swap", &[("memory.max", "1000\n"), ("memory.current", "500\n")]);
    assert_eq!(lines(&json!({"memory": {"swap": 1500}}), &path), ["memory.swap.max 500"]);
    assert_eq!(lines(&json!({"memory": {"swap": -1}}), &path), ["memory.swap.max max"]);
    let both = json!({"memory": {"limit": 3000, "swap": 3000}});
    assert_eq!(lines(&both, &path), ["memory.swap.max 0", "memory.max 3000"]);
    let less = refusal(&json!({"memory": {"swap": 900}}), &path);
    assert_eq!(less, "memory.swap includes memory, and is less than its limit");
    let below = json!({"memory": {"limit": 400, "checkBeforeUpdate": true}});
    assert_eq!(refusal(&below, &path), "memory.limit is less than what is used now");
    fs::write(path.join("memory.max"), "max\n").unwrap();
    let alone = refusal(&json!({"memory": {"swap": 900}}), &path);
    assert_eq!(alone, "memory.swap needs a limit of memory beside it");
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_new_container_without_swap_is_told_so() {
    let swap = |memory| left_out(&json!({"memory": memory}));
    assert_eq!(swap(json!({"limit": 1000, "swap": 1000})), Some(setting(SWAP, &0)));
    for other in
        [json!({"limit": 1000, "swap": 1001}), json!({"limit": -1, "swap": -1}), json!({}), Value::Null]
    {
        assert_eq!(swap(other.clone()), None, "{other}");
    }
}

#[test]
fn what_asks_for_nothing_is_kept_from_libcontainer() {
    let mut resources = json!({"memory": {"limit": 1000, "swap": 0}, "pids": {"limit": -1},
        "cpu": {"shares": 2, "realtimeRuntime": 1, "realtimePeriod": 2}, "blockIO": {"weight": 10, "leafWeight": 10}});
    take_out(&mut resources);
    assert_eq!(
        resources,
        json!({"memory": {"limit": 1000}, "cpu": {"shares": 2}, "blockIO": {"weight": 10}})
    );
    for fit in
        [json!({"memory": {"limit": 5, "swap": 9}, "pids": {"limit": 3}}), json!({"pids": "x"}), Value::Null]
    {
        let mut resources = fit.clone();
        take_out(&mut resources);
        assert_eq!(resources, fit);
    }
}

#[test]
fn files_by_name_pages_and_devices_have_their_own_lines() {
    let path = cgroup("named", &[("hugetlb.2MB.max", "max"), ("hugetlb.2MB.rsvd.max", "max")]);
    let resources = json!({"unified": {"memory.high": "1000"}, "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
        "blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 7}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]}});
    let expected = [
        "io.weight 4950",
        "io.weight 8:0 1",
        "io.max 8:16 rbps=7",
        "io.max 8:16 wiops=max",
        "hugetlb.2MB.max 4096",
        "hugetlb.2MB.rsvd.max 4096",
        "memory.high 1000",
    ];
    assert_eq!(lines(&resources, &path), expected);
    fs::write(path.join("io.bfq.weight"), "100").unwrap();
    assert_eq!(lines(&json!({"blockIO": {"weight": 500}}), &path), ["io.bfq.weight 500"]);
    for (bad, why) in [
        (json!({"unified": {"../cgroup.procs": "1"}}), "unified"),
        (json!({"blockIO": {"weight": 1001}}), "blockIO.weight is not from 10 to 1000"),
        (json!({"blockIO": {"throttleReadBpsDevice": [{"rate": 1}]}}), "blockIO.throttleReadBpsDevice"),
    ] {
        assert!(refusal(&bad, &path).starts_with(why), "{bad}");
    }
    fs::remove_dir_all(path).unwrap();
}
