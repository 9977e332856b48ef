//! The capabilities of a process (OCI runtime specification, `config.md`, "POSIX process").

use libcontainer::oci_spec::runtime::Capability;
use serde_json::{Value, json};

const SETS: [&str; 5] = ["bounding", "effective", "permitted", "inheritable", "ambient"];

/// Spells out that a process whose capabilities are not named has none, where libcontainer would leave it all of the
/// agent's; and takes out names that are not known, which hosts with newer kernels use, and for which libcontainer would
/// refuse the process.
pub(super) fn adapt(capabilities: &mut Value) {
    if capabilities.is_null() {
        let none = SETS.map(|set| (set.to_owned(), json!([])));
        *capabilities = none.into_iter().collect();
    }
    for set in SETS {
        // What is no list of names is refused by libcontainer, in its own words.
        let Some(names) = capabilities.get_mut(set).and_then(Value::as_array_mut) else { continue };
        names.retain(|name| {
            let unknown = name.is_string() && serde_json::from_value::<Capability>(name.clone()).is_err();
            if unknown {
                tracing::warn!(name = name.as_str(), set, "an unknown capability is left out");
            }
            !unknown
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_or_not_known_is_no_capability() {
        let mut capabilities = Value::Null;
        adapt(&mut capabilities);
        let none =
            json!({"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []});
        assert_eq!(capabilities, none);
        let mut capabilities = json!({"bounding": ["CAP_KILL", "CAP_FUTURE", "CAP_BPF"], "ambient": null,
            "effective": ["CAP_FUTURE"], "permitted": [7]});
        adapt(&mut capabilities);
        let known =
            json!({"bounding": ["CAP_KILL", "CAP_BPF"], "ambient": null, "effective": [], "permitted": [7]});
        assert_eq!(capabilities, known);
    }
}
