//! What a process leaves to its executor, the last code before the program (see `runtime::executor`).

use serde_json::{Value, json};

use super::{rewrite, runtime_spec};
use crate::runtime::{Filter, Propagation};

/// Capabilities that loading a seccomp profile late and changing how mounts propagate need.
const FOR_CONFINING: [&str; 2] = ["CAP_SYS_ADMIN", "CAP_SETPCAP"];
/// Mounts may be where the container's user has no access.
const FOR_REACHING_MOUNTS: &str = "CAP_DAC_READ_SEARCH";

/// What a container's first process leaves to its executor: as [`confine`], and how its mounts propagate.
pub(super) fn confine_init(spec: &mut Value, filter: Option<&Filter>) -> Value {
    let propagation = rewrite::propagation(&spec["mounts"]);
    confine(&mut spec["process"], filter, &propagation)
}

/// What a process leaves to its executor: what needs more capabilities than its own, and those that it has after that.
pub(super) fn confine(process: &mut Value, filter: Option<&Filter>, propagation: &[Propagation]) -> Value {
    let home_of = default_home(process);
    if filter.is_none() && propagation.is_empty() {
        return json!({ "home_of": home_of });
    }
    let capabilities = process["capabilities"].clone();
    if !capabilities.is_null() {
        for set in ["bounding", "effective", "permitted"] {
            let set = &mut process["capabilities"][set];
            add_capabilities(set, &FOR_CONFINING);
            if !propagation.is_empty() {
                add_capabilities(set, &[FOR_REACHING_MOUNTS]);
            }
        }
    }
    let (program, flags) = filter.map(|filter| (filter.program.as_slice(), filter.flags)).unwrap_or_default();
    json!({"program": program, "flags": flags, "capabilities": capabilities, "propagation": propagation,
        "home_of": home_of})
}

/// Gives a process `HOME=/` if it has none; returns the user for whom the container may know a better one. libcontainer
/// would ask the C library, and leave out the variable of a user that nobody knows.
fn default_home(process: &mut Value) -> Option<u32> {
    let (user, _) = runtime_spec::owner(process);
    let environment = &mut process["env"];
    if environment.is_null() {
        *environment = json!([]);
    }
    let variables = environment.as_array_mut()?;
    let home = |variable: &Value| variable.as_str().and_then(|text| text.strip_prefix("HOME=")).map(str::len);
    // The last one counts.
    if variables.iter().rev().find_map(home).is_some_and(|length| length > 0) {
        return None;
    }
    variables.push("HOME=/".into());
    Some(user)
}

fn add_capabilities(set: &mut Value, names: &[&str]) {
    if set.is_null() {
        *set = json!([]);
    }
    if let Some(set) = set.as_array_mut() {
        for name in names {
            if !set.iter().any(|present| present == name) {
                set.push((*name).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Value {
        json!({"capabilities": {"effective": ["CAP_KILL"], "permitted": ["CAP_KILL"], "bounding": ["CAP_KILL"]}})
    }

    #[test]
    fn the_capabilities_for_confining_are_added_only_when_there_is_something_to_do() {
        let mut process = process();
        process["env"] = json!(["HOME=/srv"]);
        let given = process.clone();
        assert_eq!(confine(&mut process, None, &[]), json!({"home_of": null}));
        assert_eq!(process, given);
        let filter = Filter { program: vec![1], flags: 2 };
        let confinement = confine(&mut process, Some(&filter), &[]);
        let mut added = json!(["CAP_KILL", "CAP_SYS_ADMIN", "CAP_SETPCAP"]);
        assert_eq!(process["capabilities"]["effective"], added);
        assert_eq!(confinement["capabilities"]["effective"], json!(["CAP_KILL"]));
        assert_eq!((&confinement["program"], &confinement["flags"]), (&json!([1]), &json!(2)));
        let mut with_mounts =
            json!({"process": given, "mounts": [{"destination": "/b", "options": ["rprivate"]}]});
        let confinement = confine_init(&mut with_mounts, None);
        add_capabilities(&mut added, &[FOR_REACHING_MOUNTS]);
        assert_eq!(with_mounts["process"]["capabilities"]["effective"], added);
        assert_eq!(confinement["capabilities"]["effective"], json!(["CAP_KILL"]));
        assert_eq!(confinement["propagation"][0]["destination"], "/b");
    }

    #[test]
    fn every_process_has_a_home() {
        for (given, expected, user) in [
            (Value::Null, json!(["HOME=/"]), Some(5)),
            (json!(["HOME=/x", "HOME="]), json!(["HOME=/x", "HOME=", "HOME=/"]), Some(5)),
            (json!(["HOME=", "HOME=/x"]), json!(["HOME=", "HOME=/x"]), None),
        ] {
            let mut process = json!({"user": {"uid": 5}, "env": given});
            assert_eq!(confine(&mut process, None, &[]), json!({ "home_of": user }));
            assert_eq!(process["env"], expected);
        }
    }
}
