//! The runtime spec as a whole, and the system calls against the profile that Debian ships.
use std::collections::BTreeSet;

use lcow_oci::model::RunConfig;
use lcow_oci::spec::seccomp::{ALLOWED, DENIED, profile};
use lcow_oci::spec::{ContainerOptions, SpecError, Terminal, generate};
use serde_json::{Value, json};

fn image() -> RunConfig {
    RunConfig { cmd: vec!["sh".into()], ..RunConfig::default() }
}

fn spec(options: &ContainerOptions) -> Value {
    generate(&image(), options, "/run/root").unwrap()
}

#[test]
fn a_plain_container_has_the_documented_defaults() {
    let spec = spec(&ContainerOptions { hostname: "box".into(), ..ContainerOptions::default() });
    assert_eq!(spec["root"], json!({ "path": "/run/root", "readonly": false }));
    assert_eq!(spec["hostname"], "box");
    assert_eq!(spec["process"]["args"], json!(["sh"]));
    assert_eq!(spec["process"]["cwd"], "/");
    assert_eq!(spec["process"]["terminal"], false);
    assert_eq!(spec["process"]["capabilities"]["effective"].as_array().unwrap().len(), 14);
    let mounts: Vec<&str> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    assert_eq!(mounts, ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]);
    let kinds: Vec<&str> =
        spec["linux"]["namespaces"].as_array().unwrap().iter().map(|n| n["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "network", "cgroup"]);
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["devices"][0], json!({ "allow": false, "access": "rwm" }));
    assert!(resources.get("memory").is_none() && resources.get("cpu").is_none());
    assert!(spec["linux"]["maskedPaths"].as_array().unwrap().contains(&json!("/proc/kcore")));
    assert!(spec["linux"]["readonlyPaths"].as_array().unwrap().contains(&json!("/proc/sys")));
}

#[test]
fn limits_terminal_and_read_only_root_arrive() {
    let options = ContainerOptions {
        memory: Some(512 << 20),
        nano_cpus: Some(1_500_000_000),
        read_only: true,
        user: Some("www:adm".into()),
        terminal: Some(Terminal { height: 24, width: 80 }),
        ..ContainerOptions::default()
    };
    let spec = spec(&options);
    assert_eq!(spec["linux"]["resources"]["memory"]["limit"], 536_870_912);
    assert_eq!(spec["linux"]["resources"]["cpu"], json!({ "quota": 150_000, "period": 100_000 }));
    assert_eq!(spec["root"]["readonly"], true);
    assert_eq!(spec["process"]["consoleSize"], json!({ "height": 24, "width": 80 }));
    assert_eq!(spec["process"]["user"]["username"], "www:adm");
    for limits in [(Some(u64::MAX), None), (None, Some(0))] {
        let options =
            ContainerOptions { memory: limits.0, nano_cpus: limits.1, ..ContainerOptions::default() };
        assert!(matches!(generate(&image(), &options, "/"), Err(SpecError::Limit(_))));
    }
}

fn ours(groups: &[lcow_oci::spec::seccomp::Group]) -> BTreeSet<String> {
    groups.iter().flat_map(|group| group.names).map(|&name| name.to_owned()).collect()
}

#[test]
fn no_call_is_listed_twice() {
    let names: Vec<&str> = ALLOWED.iter().chain(DENIED).flat_map(|group| group.names).copied().collect();
    let mut seen = BTreeSet::new();
    for name in names {
        assert!(seen.insert(name), "{name}");
    }
    for conditional in ["clone", "clone3", "personality", "socket"] {
        assert!(!seen.contains(conditional), "{conditional}");
    }
}

#[test]
fn conditional_calls_have_their_rules() {
    let profile = profile();
    let rule = |name: &str| -> Vec<Value> {
        let rules = profile["syscalls"].as_array().unwrap().iter();
        rules.filter(|rule| rule["names"].as_array().unwrap().contains(&json!(name))).cloned().collect()
    };
    assert_eq!(rule("clone3")[0]["errnoRet"], 38);
    assert_eq!(rule("unshare")[0]["errnoRet"], 1);
    assert_eq!(rule("clone")[0]["args"][0]["value"], 0x7e02_0000);
    assert_eq!(rule("socket")[0]["args"], json!([{ "index": 0, "op": "SCMP_CMP_NE", "value": 40 }]));
    assert_eq!(
        (&rule("socket")[1]["errnoRet"], &rule("socket")[1]["args"][0]["op"]),
        (&json!(1), &json!("SCMP_CMP_EQ"))
    );
    assert_eq!(rule("clone").iter().filter(|rule| rule["errnoRet"] == 1).count(), 7);
    assert_eq!(rule("personality").len(), 5);
    assert_eq!(rule("ptrace")[0]["action"], "SCMP_ACT_ALLOW");
}

/// What theirs allows everybody and ours refuses, and why.
const REFUSED_BY_US: &[(&str, &[&str])] = &[
    (
        "theirs serves engines without root, which build containers inside containers",
        &[
            "clone",
            "clone3",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "pivot_root",
            "setns",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("keys are not separated by namespaces", &["add_key", "keyctl", "request_key"]),
    ("io_uring has been the way out too often", &["io_uring_enter", "io_uring_register", "io_uring_setup"]),
    ("not calls of any x86 kernel", &["syscall", "timerfd"]),
    ("the machine is not theirs", &["reboot", "syslog"]),
];

/// What ours allows and theirs does not, and why.
const ALLOWED_BY_US: &[(&str, &[&str])] = &[
    ("the container has CAP_SYS_CHROOT", &["chroot"]),
    (
        "newer than theirs",
        &[
            "cachestat",
            "fchmodat2",
            "futex_requeue",
            "futex_wait",
            "futex_waitv",
            "futex_wake",
            "getxattrat",
            "listxattrat",
            "map_shadow_stack",
            "mseal",
            "removexattrat",
            "setxattrat",
            "set_mempolicy_home_node",
        ],
    ),
];

fn table(rows: &[(&str, &[&str])]) -> BTreeSet<String> {
    rows.iter().flat_map(|(_, names)| *names).map(|&name| name.to_owned()).collect()
}

/// Calls that Debian's profile allows on amd64 without any capability or condition.
fn theirs(profile: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rule in profile["syscalls"].as_array().unwrap() {
        let here =
            rule["includes"]["arches"].as_array().is_none_or(|arches| arches.contains(&json!("amd64")));
        let free = rule["includes"]["caps"].is_null() && rule["excludes"]["caps"].is_null();
        let any_arguments = rule["args"].as_array().is_none_or(Vec::is_empty);
        if rule["action"] == "SCMP_ACT_ALLOW" && here && free && any_arguments {
            names.extend(
                rule["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()),
            );
        }
    }
    names
}

#[test]
fn the_list_agrees_with_debians_up_to_known_differences() {
    let path = std::env::var("LCOW_TEST_SECCOMP").unwrap_or("/usr/share/containers/seccomp.json".into());
    let Ok(text) = std::fs::read(&path) else {
        println!("skipped: no {path} (package golang-github-containers-common)");
        return;
    };
    let theirs = theirs(&serde_json::from_slice(&text).unwrap());
    let ours = ours(ALLOWED);
    let missing: Vec<_> =
        theirs.difference(&ours).filter(|name| !table(REFUSED_BY_US).contains(*name)).collect();
    let extra: Vec<_> =
        ours.difference(&theirs).filter(|name| !table(ALLOWED_BY_US).contains(*name)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}\nextra {extra:?}");
}
