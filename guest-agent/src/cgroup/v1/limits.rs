//! OCI resource limits as files of version 1.

use serde_json::Value;

use crate::cgroup::files::plain;

/// The limit of memory, and the one of memory and swap together. The second is missing in a kernel that does not account
/// for swap.
pub(super) const MEMORY: &str = "memory.limit_in_bytes";
pub(super) const SWAP: &str = "memory.memsw.limit_in_bytes";

/// A file in the tree of a controller, and the text that goes into it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: &'static str,
    pub(super) file: &'static str,
    pub(super) text: String,
}

/// Where a limit is in the OCI document, the file that takes it unchanged, and what `-1` is there.
const PLAIN: &[(&str, &str, &str, &str)] = &[
    ("/memory/reservation", "memory", "memory.soft_limit_in_bytes", "-1"),
    ("/pids/limit", "pids", "pids.max", "max"),
    ("/cpu/shares", "cpu", "cpu.shares", "-1"),
    ("/cpu/period", "cpu", "cpu.cfs_period_us", "-1"),
    ("/cpu/quota", "cpu", "cpu.cfs_quota_us", "-1"),
    ("/cpu/cpus", "cpuset", "cpuset.cpus", "-1"),
    ("/cpu/mems", "cpuset", "cpuset.mems", "-1"),
];

/// The files that make limits of an OCI `linux.resources` object, in an order that the kernel takes if the memory is limited
/// to `now` bytes so far (0 for no limit).
pub(super) fn settings(resources: &Value, now: u64) -> Vec<Setting> {
    let mut settings = memory(resources, now);
    settings.extend(PLAIN.iter().filter_map(|(pointer, controller, file, unlimited)| {
        Some(Setting { controller, file, text: plain(resources.pointer(pointer)?, unlimited)? })
    }));
    settings
}

/// At no moment may memory alone have a larger limit than memory and swap together.
fn memory(resources: &Value, now: u64) -> Vec<Setting> {
    let number = |name: &str| resources["memory"][name].as_i64().filter(|number| *number != 0);
    let limit = number("limit");
    // Without any limit of memory there can be none of both together.
    let swap = number("swap").or(limit.filter(|limit| *limit < 0));
    let raised = swap.is_some_and(|swap| swap < 0 || now != 0 && swap.unsigned_abs() > now);
    let setting = |file, number: Option<i64>| {
        Some(Setting { controller: "memory", file, text: number?.max(-1).to_string() })
    };
    let mut settings: Vec<Setting> =
        [setting(MEMORY, limit), setting(SWAP, swap)].into_iter().flatten().collect();
    if raised {
        settings.reverse();
    }
    settings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(resources: &Value, now: u64) -> Vec<String> {
        let line = |setting: Setting| format!("{}/{} {}", setting.controller, setting.file, setting.text);
        settings(resources, now).into_iter().map(line).collect()
    }

    #[test]
    fn limits_become_files_of_their_controllers() {
        let resources = json!({"memory": {"limit": 134_217_728, "reservation": 1, "swap": 201_326_592},
            "cpu": {"shares": 1024, "quota": -1, "period": 100_000, "cpus": "0-1", "mems": ""}, "pids": {"limit": -1}});
        let expected = [
            "memory/memory.limit_in_bytes 134217728",
            "memory/memory.memsw.limit_in_bytes 201326592",
            "memory/memory.soft_limit_in_bytes 1",
            "pids/pids.max max",
            "cpu/cpu.shares 1024",
            "cpu/cpu.cfs_period_us 100000",
            "cpu/cpu.cfs_quota_us -1",
            "cpuset/cpuset.cpus 0-1",
        ];
        assert_eq!(texts(&resources, 0), expected);
        assert!(texts(&json!({"memory": {"limit": 0}, "cpu": {"shares": 0}}), 0).is_empty());
    }

    #[test]
    fn what_is_raised_is_raised_for_swap_first() {
        let raised = json!({"memory": {"limit": 200, "swap": 300}});
        let (memory, swap) = ("memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes");
        assert_eq!(texts(&raised, 100), [format!("{swap} 300"), format!("{memory} 200")]);
        assert_eq!(texts(&raised, 400), [format!("{memory} 200"), format!("{swap} 300")]);
        let lifted = json!({"memory": {"limit": -1}});
        assert_eq!(texts(&lifted, 100), [format!("{swap} -1"), format!("{memory} -1")]);
    }
}
