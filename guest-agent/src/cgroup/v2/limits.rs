//! OCI resource limits as files of cgroup version 2 (spec section 11.1).

use serde_json::Value;

use crate::cgroup::files::plain;

/// A file and the text that goes into it.
type Setting = (&'static str, String);

/// Missing in a kernel that does not account for swap, which then has nothing to limit.
pub(super) const SWAP: &str = "memory.swap.max";

/// Where a limit is in the OCI document, and the file that takes it unchanged; `-1` is `max`.
const PLAIN: &[(&str, &str)] = &[
    ("/memory/limit", "memory.max"),
    ("/memory/reservation", "memory.low"),
    ("/pids/limit", "pids.max"),
    ("/cpu/cpus", "cpuset.cpus"),
    ("/cpu/mems", "cpuset.mems"),
];

/// The files that make limits of an OCI `linux.resources` object.
pub(super) fn settings(resources: &Value) -> Vec<Setting> {
    let mut settings: Vec<Setting> = PLAIN
        .iter()
        .filter_map(|(pointer, file)| Some((*file, plain(resources.pointer(pointer)?, "max")?)))
        .collect();
    settings.extend(cpu_weight(resources));
    settings.extend(cpu_max(resources));
    settings.extend(swap(resources));
    settings
}

/// Shares run from 2 to 262144, weights from 1 to 10000.
fn cpu_weight(resources: &Value) -> Option<Setting> {
    let shares = resources.pointer("/cpu/shares")?.as_u64().filter(|shares| *shares > 0)?;
    let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
    Some(("cpu.weight", weight.to_string()))
}

fn cpu_max(resources: &Value) -> Option<Setting> {
    let number = |name: &str| resources["cpu"][name].as_i64().filter(|number| *number != 0);
    let quota = number("quota");
    let period = number("period");
    if quota.is_none() && period.is_none() {
        return None;
    }
    let quota = quota.filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
    Some(("cpu.max", format!("{quota} {}", period.unwrap_or(100_000))))
}

/// The OCI limit includes memory, the file's does not.
fn swap(resources: &Value) -> Option<Setting> {
    let swap = resources["memory"]["swap"].as_i64().filter(|swap| *swap != 0)?;
    let memory = resources["memory"]["limit"].as_i64().unwrap_or(0).max(0);
    let text = if swap < 0 { "max".to_owned() } else { (swap - memory).max(0).to_string() };
    Some((SWAP, text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_become_files() {
        let resources = json!({"memory": {"limit": 134_217_728, "reservation": 1, "swap": 201_326_592},
            "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0-1"}, "pids": {"limit": 17}});
        let expected = [
            ("memory.max", "134217728"),
            ("memory.low", "1"),
            ("pids.max", "17"),
            ("cpuset.cpus", "0-1"),
            ("cpu.weight", "39"),
            ("cpu.max", "50000 100000"),
            ("memory.swap.max", "67108864"),
        ];
        assert_eq!(settings(&resources), expected.map(|(file, text)| (file, text.to_owned())));
    }

    #[test]
    fn nothing_asked_for_is_nothing_written_and_minus_one_is_no_limit() {
        assert_eq!(settings(&json!({})), []);
        assert_eq!(settings(&json!({"memory": {"limit": 0}, "cpu": {"shares": 0, "quota": 0}})), []);
        let lifted = settings(&json!({"memory": {"limit": -1, "swap": -1}, "cpu": {"quota": -1}}));
        let expected = [("memory.max", "max"), ("cpu.max", "max 100000"), ("memory.swap.max", "max")];
        assert_eq!(lifted, expected.map(|(file, text)| (file, text.to_owned())));
    }
}
