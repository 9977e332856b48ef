//! From the files of version 1 (the kernel's `Documentation/admin-guide/cgroup-v1`), where each controller has a tree of its
//! own.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::Trees;
use crate::cgroup::files::{Name, number, object, page_sizes, pick, table};
use crate::cgroup::{Error, failed};

/// Nanoseconds in a tick of `cpuacct.stat`; the kernel shows programs a hundred of them in a second (`USER_HZ`).
const TICK: u64 = 10_000_000;

/// The keys of `memory.stat`; those for the cgroup and all below it have `total_` before them.
const MEMORY: &[Name] = &[
    ("cache", "cache", 1),
    ("rss", "rss", 1),
    ("rss_huge", "rss_huge", 1),
    ("mapped_file", "mapped_file", 1),
    ("dirty", "dirty", 1),
    ("writeback", "writeback", 1),
    ("pgpgin", "pg_pg_in", 1),
    ("pgpgout", "pg_pg_out", 1),
    ("pgfault", "pg_fault", 1),
    ("pgmajfault", "pg_maj_fault", 1),
    ("inactive_anon", "inactive_anon", 1),
    ("active_anon", "active_anon", 1),
    ("inactive_file", "inactive_file", 1),
    ("active_file", "active_file", 1),
    ("unevictable", "unevictable", 1),
    ("hierarchical_memory_limit", "hierarchical_memory_limit", 1),
    ("hierarchical_memsw_limit", "hierarchical_swap_limit", 1),
    ("total_cache", "total_cache", 1),
    ("total_rss", "total_rss", 1),
    ("total_rss_huge", "total_rss_huge", 1),
    ("total_mapped_file", "total_mapped_file", 1),
    ("total_dirty", "total_dirty", 1),
    ("total_writeback", "total_writeback", 1),
    ("total_pgpgin", "total_pg_pg_in", 1),
    ("total_pgpgout", "total_pg_pg_out", 1),
    ("total_pgfault", "total_pg_fault", 1),
    ("total_pgmajfault", "total_pg_maj_fault", 1),
    ("total_inactive_anon", "total_inactive_anon", 1),
    ("total_active_anon", "total_active_anon", 1),
    ("total_inactive_file", "total_inactive_file", 1),
    ("total_active_file", "total_active_file", 1),
    ("total_unevictable", "total_unevictable", 1),
];
/// Objects beside them, and how their files begin.
const MEMORY_USES: &[(&str, &str)] = &[
    ("usage", "memory"),
    ("swap", "memory.memsw"),
    ("kernel", "memory.kmem"),
    ("kernel_tcp", "memory.kmem.tcp"),
];
const THROTTLING: &[Name] = &[
    ("nr_periods", "periods", 1),
    ("nr_throttled", "throttled_periods", 1),
    ("throttled_time", "throttled_time", 1),
];
const OOM: &[Name] = &[
    ("oom_kill_disable", "oom_kill_disable", 1),
    ("under_oom", "under_oom", 1),
    ("oom_kill", "oom_kill", 1),
];

/// The statistics of the cgroup that is `path` in the tree of each controller.
pub(super) fn metrics(trees: &Trees, path: &Path) -> Result<Value, Error> {
    let memory = trees.directory("memory", path);
    if !memory.is_dir() {
        return Err(failed("reading", &memory)(io::ErrorKind::NotFound.into()));
    }
    let [pids, cpu, accounting, pages] =
        ["pids", "cpu", "cpuacct", "hugetlb"].map(|controller| trees.directory(controller, path));
    Ok(json!({
        "hugetlb": huge_pages(&pages),
        // Without a limit the file says `max`, which is left out.
        "pids": object([("current", number(&pids, "pids.current")), ("limit", number(&pids, "pids.max"))]),
        "cpu": {"usage": cpu_usage(&accounting), "throttling": pick(&table(&cpu, "cpu.stat"), THROTTLING)},
        "memory": memory_uses(&memory),
        "blkio": {},
        "rdma": {},
        "memory_oom_control": pick(&table(&memory, "memory.oom_control"), OOM),
    }))
}

/// How often a process of that cgroup was killed for want of memory; the kernel does not add what happens below.
pub(super) fn oom_kills(trees: &Trees, path: &Path) -> u64 {
    table(&trees.directory("memory", path), "memory.oom_control").get("oom_kill").copied().unwrap_or(0)
}

fn memory_uses(cgroup: &Path) -> Value {
    let mut memory = pick(&table(cgroup, "memory.stat"), MEMORY);
    for (name, prefix) in MEMORY_USES {
        let file = |ending: &str| number(cgroup, &format!("{prefix}.{ending}"));
        memory[*name] = object([
            ("usage", file("usage_in_bytes")),
            ("limit", file("limit_in_bytes")),
            ("max", file("max_usage_in_bytes")),
            ("failcnt", file("failcnt")),
        ]);
    }
    memory
}

fn cpu_usage(cgroup: &Path) -> Value {
    const TIMES: &[Name] = &[("user", "user", TICK), ("system", "kernel", TICK)];
    let mut usage = pick(&table(cgroup, "cpuacct.stat"), TIMES);
    if let Some(total) = number(cgroup, "cpuacct.usage").filter(|total| *total != 0) {
        usage["total"] = total.into();
    }
    let each = fs::read_to_string(cgroup.join("cpuacct.usage_percpu")).unwrap_or_default();
    let each: Vec<u64> = each.split_whitespace().filter_map(|time| time.parse().ok()).collect();
    if !each.is_empty() {
        usage["per_cpu"] = each.into();
    }
    usage
}

fn huge_pages(cgroup: &Path) -> Vec<Value> {
    let usage = |size: String| {
        let file = |ending: &str| number(cgroup, &format!("hugetlb.{size}.{ending}"));
        let mut usage = object([
            ("usage", file("usage_in_bytes")),
            ("max", file("max_usage_in_bytes")),
            ("failcnt", file("failcnt")),
        ]);
        usage["pagesize"] = size.into();
        usage
    };
    page_sizes(cgroup, "usage_in_bytes").into_iter().map(usage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel 5.15 with version 1 shows of a small container.
    const FILES: &[(&str, &str)] = &[
        ("pids/pids.current", "3\n"),
        ("pids/pids.max", "max\n"),
        ("cpu/cpu.stat", "nr_periods 10\nnr_throttled 2\nthrottled_time 5000000\n"),
        ("cpuacct/cpuacct.usage", "123456789\n"),
        ("cpuacct/cpuacct.usage_percpu", "100000000 23456789 \n"),
        ("cpuacct/cpuacct.stat", "user 10\nsystem 2\n"),
        (
            "memory/memory.stat",
            "cache 4096\nrss 1048576\nrss_huge 0\nmapped_file 0\npgpgin 300\npgpgout 43\npgfault 100\n\
             inactive_anon 0\nactive_anon 1048576\nhierarchical_memory_limit 134217728\n\
             hierarchical_memsw_limit 268435456\ntotal_cache 8192\ntotal_rss 2097152\ntotal_pgfault 200\n",
        ),
        ("memory/memory.usage_in_bytes", "2097152\n"),
        ("memory/memory.limit_in_bytes", "134217728\n"),
        ("memory/memory.max_usage_in_bytes", "3145728\n"),
        ("memory/memory.failcnt", "7\n"),
        ("memory/memory.memsw.usage_in_bytes", "2097152\n"),
        ("memory/memory.kmem.usage_in_bytes", "16384\n"),
        ("memory/memory.kmem.tcp.usage_in_bytes", "0\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
        ("hugetlb/hugetlb.2MB.usage_in_bytes", "2097152\n"),
        ("hugetlb/hugetlb.2MB.max_usage_in_bytes", "4194304\n"),
        ("hugetlb/hugetlb.2MB.rsvd.usage_in_bytes", "0\n"),
        ("hugetlb/hugetlb.2MB.failcnt", "0\n"),
    ];

    #[test]
    fn the_files_of_every_controller_become_one_document() {
        let root = std::env::temp_dir().join(format!("metrics-v1-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (file, text) in FILES {
            let (controller, name) = file.split_once('/').unwrap();
            let directory = root.join(controller).join("pods/c1");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(name), text).unwrap();
        }
        let expected = json!({
            "hugetlb": [{"usage": 2_097_152, "max": 4_194_304, "pagesize": "2MB"}],
            "pids": {"current": 3},
            "cpu": {"usage": {"total": 123_456_789, "user": 100_000_000, "kernel": 20_000_000,
                    "per_cpu": [100_000_000, 23_456_789]},
                "throttling": {"periods": 10, "throttled_periods": 2, "throttled_time": 5_000_000}},
            "memory": {"cache": 4096, "rss": 1_048_576, "pg_pg_in": 300, "pg_pg_out": 43, "pg_fault": 100,
                "active_anon": 1_048_576, "hierarchical_memory_limit": 134_217_728,
                "hierarchical_swap_limit": 268_435_456, "total_cache": 8192, "total_rss": 2_097_152,
                "total_pg_fault": 200,
                "usage": {"usage": 2_097_152, "limit": 134_217_728, "max": 3_145_728, "failcnt": 7},
                "swap": {"usage": 2_097_152}, "kernel": {"usage": 16_384}, "kernel_tcp": {}},
            "blkio": {}, "rdma": {}, "memory_oom_control": {"oom_kill": 1},
        });
        let trees = Trees::at(&root, &["cpu", "cpuacct", "hugetlb", "memory", "pids"]);
        assert_eq!(metrics(&trees, Path::new("pods/c1")).unwrap(), expected);
        assert_eq!(oom_kills(&trees, Path::new("pods/c1")), 1);
        assert!(metrics(&trees, Path::new("pods/gone")).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
