//! OCI resource limits as files of cgroup version 2 (spec sections 6.8 and 11.1). libcontainer sets those of a new
//! container; what it makes of them is what a later change must make of them, too.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::block_io;
use crate::cgroup::Error;
use crate::cgroup::files::{limit, number as read};
use crate::cgroup::resources::{
    Setting, huge_pages, is_file_name, list, nonzero, number, refused, setting, text,
};

/// Missing in a kernel that does not account for swap, which then has nothing to limit.
pub(super) const SWAP: &str = "memory.swap.max";

/// Numbers, and the files that take them unchanged; below zero they are `max`.
const NUMBERS: &[(&str, &str)] = &[("/memory/reservation", "memory.low"), ("/pids/limit", "pids.max")];

/// Texts, and the files that take them.
const TEXTS: &[(&str, &str)] = &[("/cpu/cpus", "cpuset.cpus"), ("/cpu/mems", "cpuset.mems")];

/// Makes settings of one or more limits and of what the files of the cgroup say now.
type Composer = fn(&Value, &Path) -> Result<Vec<Setting>, Error>;

/// Limits that take more than writing them down, in an order that the kernel takes.
const COMPOSED: &[(&[&str], Composer)] = &[
    (&["/memory/limit", "/memory/swap", "/memory/checkBeforeUpdate"], memory),
    (&["/cpu/shares", "/cpu/idle"], cpu_weight),
    (&["/cpu/quota", "/cpu/period", "/cpu/burst"], cpu_max),
    (&["/blockIO/weight", "/blockIO/weightDevice"], block_io::weights),
    (
        &[
            "/blockIO/throttleReadBpsDevice",
            "/blockIO/throttleWriteBpsDevice",
            "/blockIO/throttleReadIOPSDevice",
            "/blockIO/throttleWriteIOPSDevice",
        ],
        block_io::throttles,
    ),
    (&["/hugepageLimits"], page_limits),
    (&["/unified"], unified),
];

/// Device rules are the runtime's. Of kernel memory OCI says that it may be ignored, as no kernel limits it any more; and
/// version 2 is always hierarchical.
const IGNORED: &[&str] = &["/devices", "/memory/kernel", "/memory/kernelTCP", "/memory/useHierarchy"];

/// Whether a limit is made into settings, or may be ignored.
pub(super) fn is_known(name: &str) -> bool {
    let plain = NUMBERS.iter().chain(TEXTS).map(|(name, _)| name);
    plain.chain(COMPOSED.iter().flat_map(|(names, _)| *names)).chain(IGNORED).any(|known| *known == name)
}

/// The files that make limits of an OCI `linux.resources` object for `cgroup`, a directory.
pub(super) fn settings(resources: &Value, cgroup: &Path) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    for (name, file) in NUMBERS {
        settings.extend(nonzero(resources, name)?.map(|number| setting(*file, &or_max(number))));
    }
    for (name, file) in TEXTS {
        settings.extend(text(resources, name)?.map(|text| setting(*file, &text)));
    }
    for (_, compose) in COMPOSED {
        settings.extend(compose(resources, cgroup)?);
    }
    Ok(settings)
}

/// What libcontainer leaves out of a new container's files, as entries of `unified`, which it writes last: where memory
/// and swap together may not exceed what memory alone may, there is to be no swap.
pub(super) fn left_out(resources: &Value) -> Option<Setting> {
    let number = |name: &str| resources["memory"][name].as_i64().filter(|number| *number > 0);
    (number("limit")? == number("swap")?).then(|| setting(SWAP, &0))
}

/// Whether a limit of that value is taken out.
type Unfit = fn(&Value) -> bool;

/// Limits of a new container that libcontainer refuses or misreads: section, name, and which values.
const UNFIT: &[(&str, &str, Unfit)] = &[
    // Asks for nothing, as all limits of memory.
    ("/memory", "swap", |swap| swap == 0),
    // As Docker has it, and runc before 1.4.
    ("/pids", "limit", |limit| limit.as_i64().is_some_and(|limit| limit <= 0)),
    // Version 2 has none of these, and other runtimes pass them over in a container that is new.
    ("/cpu", "realtimeRuntime", |_| true),
    ("/cpu", "realtimePeriod", |_| true),
    ("/blockIO", "leafWeight", |_| true),
];

/// Takes out what libcontainer would refuse or misread, though it asks for nothing that version 2 has.
pub(super) fn take_out(resources: &mut Value) {
    for (section, name, is_unfit) in UNFIT {
        let Some(Value::Object(fields)) = resources.pointer_mut(section) else { continue };
        if fields.get(*name).is_some_and(is_unfit) {
            fields.remove(*name);
        }
    }
    // Without a limit libcontainer reads a limit of zero.
    let unlimited = |pids: &Value| pids.is_object() && pids["limit"].is_null();
    if let Some(resources) = resources.as_object_mut()
        && resources.get("pids").is_some_and(unlimited)
    {
        resources.remove("pids");
    }
}

fn or_max(number: i128) -> String {
    if number < 0 { "max".to_owned() } else { number.to_string() }
}

/// The OCI limit of swap includes memory, the file's does not.
fn memory(resources: &Value, cgroup: &Path) -> Result<Vec<Setting>, Error> {
    const SWAP_NAME: &str = "/memory/swap";
    let memory = nonzero(resources, "/memory/limit")?;
    // Without any limit of memory there can be none of both together.
    let swap = nonzero(resources, SWAP_NAME)?.or(memory.filter(|memory| *memory < 0));
    if resources.pointer("/memory/checkBeforeUpdate") == Some(&Value::Bool(true))
        && memory
            .is_some_and(|memory| memory > 0 && memory < read(cgroup, "memory.current").unwrap_or(0).into())
    {
        return Err(refused("/memory/limit", "is less than what is used now"));
    }
    let swap = match swap {
        Some(total) if total > 0 => {
            let now = || limit(cgroup, "memory.max").filter(|now| *now != u64::MAX).map(i128::from);
            let alone = memory.filter(|memory| *memory > 0).or_else(now);
            let alone = alone.ok_or_else(|| refused(SWAP_NAME, "needs a limit of memory beside it"))?;
            if total < alone {
                return Err(refused(SWAP_NAME, "includes memory, and is less than its limit"));
            }
            Some(total - alone)
        }
        other => other,
    };
    let swap = swap.map(|swap| setting(SWAP, &or_max(swap)));
    Ok(swap.into_iter().chain(memory.map(|memory| setting("memory.max", &or_max(memory)))).collect())
}

/// An idle cgroup has no weight, and the kernel takes none for it.
fn cpu_weight(resources: &Value, _: &Path) -> Result<Vec<Setting>, Error> {
    let shares = nonzero(resources, "/cpu/shares")?;
    let idle = number(resources, "/cpu/idle")?;
    let weight = shares.filter(|_| idle.is_none_or(|idle| idle == 0));
    let idle = idle.map(|idle| setting("cpu.idle", &idle));
    Ok(idle.into_iter().chain(weight.map(|shares| setting("cpu.weight", &weight_of(shares)))).collect())
}

/// Shares run from 2 over 1024, which is usual, to 262144; weights from 1 over 100 to 10000. Runtimes have agreed on a
/// curve through these points (runc 1.3.2, <https://github.com/opencontainers/cgroups/pull/20>).
fn weight_of(shares: i128) -> String {
    const LEAST: u32 = 2;
    const MOST: u32 = 262_144;
    match u32::try_from(shares.max(0)).unwrap_or(MOST) {
        ..=LEAST => "1".to_owned(),
        MOST.. => "10000".to_owned(),
        shares => {
            let log = f64::from(shares).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            format!("{:.0}", 10_f64.powf(exponent).ceil())
        }
    }
}

/// The file has both quota and period: which of them is not asked for stays. A burst may never exceed the quota.
fn cpu_max(resources: &Value, cgroup: &Path) -> Result<Vec<Setting>, Error> {
    const BURST: &str = "cpu.max.burst";
    let quota = nonzero(resources, "/cpu/quota")?;
    let period = nonzero(resources, "/cpu/period")?;
    let burst = number(resources, "/cpu/burst")?;
    let mut settings = Vec::new();
    if quota.is_some() || period.is_some() {
        let now = fs::read_to_string(cgroup.join("cpu.max")).unwrap_or_default();
        let mut now = now.split_whitespace();
        let (old_quota, old_period) = (now.next().unwrap_or("max"), now.next().unwrap_or("100000"));
        let quota = quota.map_or(old_quota.to_owned(), or_max);
        let period = period.map_or(old_period.to_owned(), |period| period.to_string());
        settings.push(setting("cpu.max", &format!("{quota} {period}")));
    }
    if let Some(burst) = burst {
        let lowered = burst <= read(cgroup, BURST).unwrap_or(0).into();
        settings.insert(if lowered { 0 } else { settings.len() }, setting(BURST, &burst));
    }
    Ok(settings)
}

/// For pages in use, and where the kernel has a second limit for pages that are reserved, for these too.
fn page_limits(resources: &Value, cgroup: &Path) -> Result<Vec<Setting>, Error> {
    let mut settings = Vec::new();
    for entry in list(resources, "/hugepageLimits")? {
        let (size, bytes) = huge_pages(entry)?;
        settings.push(setting(format!("hugetlb.{size}.max"), &bytes));
        let reserved = format!("hugetlb.{size}.rsvd.max");
        settings.extend(cgroup.join(&reserved).exists().then(|| setting(reserved, &bytes)));
    }
    Ok(settings)
}

/// Files by their names, with texts as they are.
fn unified(resources: &Value, _: &Path) -> Result<Vec<Setting>, Error> {
    const NAME: &str = "/unified";
    let files = match resources.pointer(NAME) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_object().ok_or_else(|| refused(NAME, "is not an object"))?,
    };
    let file = |(file, text): (&String, &Value)| match text.as_str() {
        Some(text) if is_file_name(file) => Ok(setting(file, &text)),
        _ => Err(refused(&format!("{NAME}/{file}"), "is not a file of a cgroup with a text for it")),
    };
    files.iter().map(file).collect()
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
