//! What libcgroups and libcontainer 0.7 get wrong with version 1, put right in the specification that they read:
//!
//! * A cgroup starts with its parent's devices, which are all there are, and the rules of the specification are added to
//!   that; with version 2 they are added to nothing, and so they are meant. A first rule takes all devices away.
//! * A major or minor number below zero means any; it is written as it is, and the kernel refuses it.
//! * An empty list of processors is written, too, and refused as soon as a process is in the cgroup.
//! * The limits of kernel memory are written, which no kernel takes any more, and that of swap also where the kernel does
//!   not account for swap.
//! * Cgroups are mounted into a container for writing whatever the mount's options say, so that root in a container could
//!   lift its own limits; and for a container in the pid namespace of another one the cgroups of some process are looked
//!   for that may not exist. So the mount is replaced by binds of the container's own cgroups.

use std::path::Path;

use serde_json::{Value, json};

use super::{Trees, limits};

/// The controllers whose cgroups libcgroups makes and joins.
const JOINED: [&str; 12] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "hugetlb",
    "memory",
    "pids",
    "perf_event",
    "blkio",
    "net_prio",
    "net_cls",
    "freezer",
];

pub(super) fn adapt(trees: &Trees, spec: &mut Value) {
    let path = spec["linux"]["cgroupsPath"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
    let resources = &mut spec["linux"]["resources"];
    if resources.is_null() {
        *resources = json!({});
    }
    devices(&mut resources["devices"]);
    let accounts_for_swap = trees.directory("memory", Path::new(limits::SWAP)).exists();
    remove_if(resources, "/memory", &["kernel", "kernelTCP"], |_| true);
    remove_if(resources, "/memory", &["swap"], |_| !accounts_for_swap);
    remove_if(resources, "/cpu", &["cpus", "mems"], |list| list == "");
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        let replaced = mounts.drain(..).flat_map(|mount| replace(trees, Path::new(&path), mount)).collect();
        *mounts = replaced;
    }
}

fn remove_if(resources: &mut Value, object: &str, names: &[&str], unfit: impl Fn(&Value) -> bool) {
    let Some(Value::Object(fields)) = resources.pointer_mut(object) else { return };
    fields.retain(|name, value| !(names.contains(&name.as_str()) && unfit(value)));
}

fn devices(rules: &mut Value) {
    if rules.is_null() {
        *rules = json!([]);
    }
    // Anything else is refused by libcontainer, in its own words.
    let Some(rules) = rules.as_array_mut() else { return };
    for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
        rule.retain(|name, value| !(["major", "minor"].contains(&name.as_str()) && value.as_i64() < Some(0)));
    }
    rules.insert(0, json!({"allow": false, "access": "rwm"}));
}

/// The mounts that stand for `mount`.
fn replace(trees: &Trees, path: &Path, mount: Value) -> Vec<Value> {
    if mount["type"] != "cgroup" && mount["type"] != "cgroup2" {
        return vec![mount];
    }
    let place = Path::new(mount["destination"].as_str().unwrap_or_default());
    let read_only =
        mount["options"].as_array().is_some_and(|options| options.iter().any(|option| option == "ro"));
    let bind = |source: &Path, destination: &Path, read_only: bool| {
        let mut options = vec!["bind", "nosuid", "noexec", "nodev"];
        options.extend(read_only.then_some("ro"));
        json!({"destination": destination, "type": "bind", "source": source, "options": options})
    };
    // Its directories, on which the trees are mounted, and nothing below them.
    let mut mounts = vec![bind(&trees.root, place, true)];
    let joined = JOINED.into_iter().filter(|controller| trees.has(controller));
    mounts.extend(joined.map(|name| bind(&trees.directory(name, path), &place.join(name), read_only)));
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libcontainer_would_do_wrong_is_taken_out_or_spelled_out() {
        let trees = Trees::at(Path::new("/no/such/root"), &["cpu", "memory", "misc"]);
        let mut spec = json!({
            "mounts": [{"destination": "/proc", "type": "proc"},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "ro"]}],
            "linux": {"cgroupsPath": "/pods/p/c", "resources": {
                "devices": [{"allow": true, "type": "c", "major": 10, "minor": -1, "access": "rwm"}],
                "memory": {"limit": 1, "swap": 2, "kernel": 3}, "cpu": {"cpus": "", "mems": "0"}}},
        });
        adapt(&trees, &mut spec);
        let expected = json!({"devices": [{"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 10, "access": "rwm"}],
            "memory": {"limit": 1}, "cpu": {"mems": "0"}});
        assert_eq!(spec["linux"]["resources"], expected);
        let bind = |source: &str, destination: &str| {
            json!({"destination": destination, "type": "bind", "source": source,
                "options": ["bind", "nosuid", "noexec", "nodev", "ro"]})
        };
        let expected = json!([{"destination": "/proc", "type": "proc"}, bind("/no/such/root", "/sys/fs/cgroup"),
            bind("/no/such/root/cpu/pods/p/c", "/sys/fs/cgroup/cpu"),
            bind("/no/such/root/memory/pods/p/c", "/sys/fs/cgroup/memory")]);
        assert_eq!(spec["mounts"], expected);
    }

    #[test]
    fn a_container_without_rules_has_no_devices_either() {
        let mut spec = json!({"linux": {}});
        adapt(&Trees::at(Path::new("/no/such/root"), &["cpu"]), &mut spec);
        assert_eq!(spec["linux"]["resources"]["devices"], json!([{"allow": false, "access": "rwm"}]));
    }
}
