//! From the files of version 2 (the kernel's `Documentation/admin-guide/cgroup-v2.rst`).

use std::path::Path;

use serde_json::{Value, json};

use crate::cgroup::files::{Name, limit, number, object, page_sizes, pick, table};

/// The keys of `memory.stat`, and what they are called on the wire.
const MEMORY: &[(&str, &str)] = &[
    ("anon", "rss"),
    ("file", "cache"),
    ("file_mapped", "mapped_file"),
    ("file_dirty", "dirty"),
    ("file_writeback", "writeback"),
    ("pgfault", "pg_fault"),
    ("pgmajfault", "pg_maj_fault"),
    ("inactive_anon", "inactive_anon"),
    ("active_anon", "active_anon"),
    ("inactive_file", "inactive_file"),
    ("active_file", "active_file"),
    ("unevictable", "unevictable"),
];
/// The same for the counters of `cpu.stat`, and what they are multiplied with.
const CPU: &[Name] =
    &[("usage_usec", "total", 1000), ("system_usec", "kernel", 1000), ("user_usec", "user", 1000)];
const THROTTLING: &[Name] = &[
    ("nr_periods", "periods", 1),
    ("nr_throttled", "throttled_periods", 1),
    ("throttled_usec", "throttled_time", 1000),
];

/// The statistics of `cgroup`. One that is gone has used nothing.
pub(super) fn metrics(cgroup: &Path) -> Value {
    let cpu = table(cgroup, "cpu.stat");
    let mut metrics = json!({
        "hugetlb": huge_pages(cgroup),
        "pids": object([("current", number(cgroup, "pids.current")), ("limit", limit(cgroup, "pids.max"))]),
        "cpu": {"usage": pick(&cpu, CPU), "throttling": pick(&cpu, THROTTLING)},
        "memory": memory(cgroup),
        // Emptied, to keep the frame small; the objects are expected.
        "blkio": {},
        "rdma": {},
    });
    if let Some(kills) = table(cgroup, "memory.events").get("oom_kill") {
        metrics["memory_oom_control"] = object([("oom_kill", Some(*kills))]);
    }
    metrics
}

/// How often a process of `cgroup`, or below it, was killed for want of memory.
pub(super) fn oom_kills(cgroup: &Path) -> u64 {
    table(cgroup, "memory.events").get("oom_kill").copied().unwrap_or(0)
}

fn memory(cgroup: &Path) -> Value {
    let stat = table(cgroup, "memory.stat");
    let mut fields = MEMORY.iter().map(|(key, name)| (*name, stat.get(*key).copied())).collect::<Vec<_>>();
    fields.push(("hierarchical_memory_limit", limit(cgroup, "memory.max")));
    fields.push(("hierarchical_swap_limit", limit(cgroup, "memory.swap.max")));
    let mut memory = object(fields);
    for (name, prefix) in [("usage", "memory"), ("swap", "memory.swap")] {
        memory[name] = object([
            ("usage", number(cgroup, &format!("{prefix}.current"))),
            ("limit", limit(cgroup, &format!("{prefix}.max"))),
            ("max", number(cgroup, &format!("{prefix}.peak"))),
        ]);
    }
    memory["kernel"] = object([("usage", stat.get("kernel_stack").copied())]);
    memory["kernel_tcp"] = object([("usage", stat.get("sock").copied())]);
    memory
}

/// Per size of a page.
fn huge_pages(cgroup: &Path) -> Vec<Value> {
    let usage = |size: &String| {
        let fields = [
            ("usage", number(cgroup, &format!("hugetlb.{size}.current"))),
            ("max", limit(cgroup, &format!("hugetlb.{size}.max"))),
        ];
        object(fields)
    };
    page_sizes(cgroup, "current").iter().map(usage).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_become_the_layout_that_hosts_know() {
        let cgroup = std::env::temp_dir().join(format!("metrics-{}", std::process::id()));
        fs::create_dir_all(&cgroup).unwrap();
        for (file, text) in [
            (
                "cpu.stat",
                "usage_usec 123456\nuser_usec 100000\nsystem_usec 23456\nnr_periods 10\nnr_throttled 2\nthrottled_usec 5000\n",
            ),
            ("memory.current", "2097152\n"),
            ("memory.max", "134217728\n"),
            ("memory.peak", "3145728\n"),
            ("memory.swap.max", "max\n"),
            ("memory.stat", "anon 1048576\nfile 4096\nkernel_stack 16384\nsock 0\npgfault 100\n"),
            ("memory.events", "low 0\noom 1\noom_kill 1\n"),
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            ("hugetlb.2MB.current", "0\n"),
            ("hugetlb.2MB.rsvd.current", "0\n"),
            ("hugetlb.2MB.max", "max\n"),
        ] {
            fs::write(cgroup.join(file), text).unwrap();
        }
        let expected = json!({
            "hugetlb": [{"max": u64::MAX}],
            "pids": {"current": 3, "limit": u64::MAX},
            "cpu": {"usage": {"total": 123_456_000, "kernel": 23_456_000, "user": 100_000_000},
                "throttling": {"periods": 10, "throttled_periods": 2, "throttled_time": 5_000_000}},
            "memory": {"cache": 4096, "rss": 1_048_576, "pg_fault": 100,
                "hierarchical_memory_limit": 134_217_728, "hierarchical_swap_limit": u64::MAX,
                "usage": {"limit": 134_217_728, "usage": 2_097_152, "max": 3_145_728},
                "swap": {"limit": u64::MAX}, "kernel": {"usage": 16_384}, "kernel_tcp": {}},
            "blkio": {}, "rdma": {}, "memory_oom_control": {"oom_kill": 1},
        });
        assert_eq!(metrics(&cgroup), expected);
        assert_eq!(oom_kills(&cgroup), 1);
        fs::remove_dir_all(cgroup).unwrap();
    }

    #[test]
    fn a_cgroup_that_is_gone_has_used_nothing() {
        let metrics = metrics(Path::new("/no/such/cgroup"));
        assert_eq!(metrics["pids"], json!({}));
        assert!(metrics.get("memory_oom_control").is_none());
    }
}
