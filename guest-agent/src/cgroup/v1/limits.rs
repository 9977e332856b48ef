//! OCI resource limits as files of version 1 (the kernel's `Documentation/admin-guide/cgroup-v1`).

use serde_json::Value;

use super::block_io;
use crate::cgroup::Error;
use crate::cgroup::resources::{self, Setting, huge_pages, list, nonzero, number, refused, setting, text};

/// The limit of memory, and the one of memory and swap together. The second is missing in a kernel that does not account
/// for swap.
pub(super) const MEMORY: &str = "memory.limit_in_bytes";
pub(super) const SWAP: &str = "memory.memsw.limit_in_bytes";

/// The tree of a controller, and what goes into a file there.
pub(super) type Placed = (&'static str, Setting);

/// Numbers, the file that takes them unchanged, what is there below zero, and whether zero is a number like any other.
const NUMBERS: &[(&str, &str, &str, &str, bool)] = &[
    ("/memory/reservation", "memory", "memory.soft_limit_in_bytes", "-1", false),
    ("/memory/swappiness", "memory", "memory.swappiness", "0", true),
    ("/pids/limit", "pids", "pids.max", "max", false),
    ("/cpu/idle", "cpu", "cpu.idle", "0", true),
    ("/cpu/shares", "cpu", "cpu.shares", "-1", false),
    ("/cpu/period", "cpu", "cpu.cfs_period_us", "-1", false),
    ("/cpu/quota", "cpu", "cpu.cfs_quota_us", "-1", false),
    ("/cpu/burst", "cpu", "cpu.cfs_burst_us", "0", true),
    ("/cpu/realtimePeriod", "cpu", "cpu.rt_period_us", "-1", false),
    ("/cpu/realtimeRuntime", "cpu", "cpu.rt_runtime_us", "-1", false),
    ("/network/classID", "net_cls", "net_cls.classid", "0", false),
];

/// Texts, and the files that take them.
const TEXTS: &[(&str, &str, &str)] =
    &[("/cpu/cpus", "cpuset", "cpuset.cpus"), ("/cpu/mems", "cpuset", "cpuset.mems")];

/// Makes settings of one or more limits.
type Composer = fn(&Value) -> Result<Vec<Placed>, Error>;

/// Limits that take more than writing them down, but for those of memory.
const COMPOSED: &[(&[&str], Composer)] = &[
    (&["/memory/disableOOMKiller"], oom_killer),
    (&["/network/priorities"], priorities),
    (&["/hugepageLimits"], page_limits),
    (block_io::NAMES, block_io::settings),
];

/// Those, and what [`memory`] reads. That memory is not limited below its use the kernel sees to.
const MEMORY_NAMES: &[&str] = &["/memory/limit", "/memory/swap", "/memory/checkBeforeUpdate"];

/// Device rules are the runtime's. Of kernel memory OCI says that it may be ignored, as no kernel limits it any more; and all
/// is hierarchical already.
const IGNORED: &[&str] = &["/devices", "/memory/kernel", "/memory/kernelTCP", "/memory/useHierarchy"];

/// Whether a limit is made into settings, or may be ignored.
pub(super) fn is_known(name: &str) -> bool {
    let numbers = NUMBERS.iter().map(|(name, ..)| name);
    let known = numbers.chain(TEXTS.iter().map(|(name, ..)| name)).chain(MEMORY_NAMES).chain(IGNORED);
    known.chain(COMPOSED.iter().flat_map(|(names, _)| *names)).any(|known| *known == name)
}

/// The files that make limits of an OCI `linux.resources` object, in an order that the kernel takes if the memory is limited
/// to `now` bytes so far (0 for no limit).
pub(super) fn settings(resources: &Value, now: u64) -> Result<Vec<Placed>, Error> {
    let mut settings = memory(resources, now)?;
    for (name, controller, file, below, takes_zero) in NUMBERS {
        let asked = number(resources, name)?.filter(|number| *takes_zero || *number != 0);
        let text = asked.map(|number| if number < 0 { (*below).to_owned() } else { number.to_string() });
        settings.extend(text.map(|text| (*controller, setting(*file, &text))));
    }
    for (name, controller, file) in TEXTS {
        settings.extend(text(resources, name)?.map(|text| (*controller, setting(*file, &text))));
    }
    for (_, compose) in COMPOSED {
        settings.extend(compose(resources)?);
    }
    Ok(settings)
}

/// At no moment may memory alone have a larger limit than memory and swap together.
fn memory(resources: &Value, now: u64) -> Result<Vec<Placed>, Error> {
    let limit = nonzero(resources, "/memory/limit")?;
    // Without any limit of memory there can be none of both together.
    let swap = nonzero(resources, "/memory/swap")?.or(limit.filter(|limit| *limit < 0));
    let raised = swap.is_some_and(|swap| swap < 0 || now != 0 && swap > now.into());
    let placed = |file: &str, number: Option<i128>| Some(("memory", setting(file, &number?.max(-1))));
    let mut settings: Vec<Placed> =
        [placed(MEMORY, limit), placed(SWAP, swap)].into_iter().flatten().collect();
    if raised {
        settings.reverse();
    }
    Ok(settings)
}

fn oom_killer(resources: &Value) -> Result<Vec<Placed>, Error> {
    const NAME: &str = "/memory/disableOOMKiller";
    match resources.pointer(NAME) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Bool(disable)) => {
            Ok(vec![("memory", setting("memory.oom_control", &u8::from(*disable)))])
        }
        Some(_) => Err(refused(NAME, "is neither true nor false")),
    }
}

fn priorities(resources: &Value) -> Result<Vec<Placed>, Error> {
    const NAME: &str = "/network/priorities";
    let placed = |entry: &Value| {
        let name = entry["name"].as_str().ok_or_else(|| refused(NAME, "has an entry without a name"))?;
        let priority = resources::whole(&entry["priority"], NAME)?;
        Ok(("net_prio", setting("net_prio.ifpriomap", &format!("{name} {priority}"))))
    };
    list(resources, NAME)?.iter().map(placed).collect()
}

fn page_limits(resources: &Value) -> Result<Vec<Placed>, Error> {
    let placed = |entry: &Value| {
        let (size, bytes) = huge_pages(entry)?;
        Ok(("hugetlb", setting(format!("hugetlb.{size}.limit_in_bytes"), &bytes)))
    };
    list(resources, "/hugepageLimits")?.iter().map(placed).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(resources: &Value, now: u64) -> Vec<String> {
        let line = |(controller, Setting { file, text }): Placed| format!("{controller}/{file} {text}");
        settings(resources, now).unwrap().into_iter().map(line).collect()
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

    #[test]
    fn what_only_version_1_has_is_set_too() {
        let resources = json!({"memory": {"swappiness": 0, "disableOOMKiller": true}, "cpu": {"idle": 0, "burst": 7},
            "network": {"classID": 5, "priorities": [{"name": "eth0", "priority": 3}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
            "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 0}]}});
        let expected = [
            "memory/memory.swappiness 0",
            "cpu/cpu.idle 0",
            "cpu/cpu.cfs_burst_us 7",
            "net_cls/net_cls.classid 5",
            "memory/memory.oom_control 1",
            "net_prio/net_prio.ifpriomap eth0 3",
            "hugetlb/hugetlb.2MB.limit_in_bytes 4096",
            "blkio/blkio.bfq.weight 500",
            "blkio/blkio.throttle.read_bps_device 8:16 0",
        ];
        assert_eq!(texts(&resources, 0), expected);
        assert!(resources::unknown(&resources, is_known).is_none());
        let name = resources::unknown(&json!({"unified": {"memory.high": "1"}}), is_known);
        assert_eq!(name.as_deref(), Some("/unified/memory.high"));
    }
}
