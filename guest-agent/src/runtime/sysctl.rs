//! Kernel parameters of a specification that there are not: libcontainer says that one cannot be opened, but not which.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::messages::JobFailure;

/// Where the kernel has them, `proc_sys(5)`.
const PARAMETERS: &str = "/proc/sys";
/// So many of them are named.
const MOST: usize = 4;

/// Adds to `failure` what the specification in `bundle` asks for in vain.
pub(super) fn explain(failure: JobFailure, bundle: &Path) -> JobFailure {
    let text = fs::read(bundle.join("config.json")).unwrap_or_default();
    let spec: Value = serde_json::from_slice(&text).unwrap_or_default();
    let missing = missing(&spec, Path::new(PARAMETERS));
    if missing.is_empty() {
        return failure;
    }
    // Those of a network's adapters may yet be in the container.
    JobFailure { text: format!("{}; the VM itself has no {}", failure.text, missing.join(", ")), ..failure }
}

fn missing<'spec>(spec: &'spec Value, parameters: &Path) -> Vec<&'spec str> {
    let names = spec["linux"]["sysctl"].as_object().into_iter().flat_map(|all| all.keys());
    let is_missing = |name: &&str| !parameters.join(name.replace('.', "/")).exists();
    names.map(String::as_str).filter(is_missing).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let names = json!({"kernel.ostype": "", "kernel/osrelease": "", "kernel.no_such": "", "no.such": ""});
        let spec = json!({"linux": {"sysctl": names}});
        assert_eq!(missing(&spec, Path::new(PARAMETERS)), ["kernel.no_such", "no.such"]);
        assert!(missing(&json!({}), Path::new(PARAMETERS)).is_empty());
    }
}
