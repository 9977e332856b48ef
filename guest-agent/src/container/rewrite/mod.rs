//! Changes to specifications: one file for each.

mod assigned;
mod completion;
mod core_limit;
mod destinations;
mod devices;
mod gpu;
mod host_network;
mod memory;
mod mounts;
mod proc_mounts;
mod propagation;
mod shared_memory;
mod tee;

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

pub(super) use assigned::assigned_devices;
pub(super) use completion::complete;
pub(super) use core_limit::core_limit;
pub(super) use destinations::destinations;
pub(super) use devices::devices;
pub(super) use gpu::gpu_hook;
pub(super) use host_network::drop_network_namespace;
pub(super) use mounts::mounts;
pub(super) use propagation::propagation;
pub(super) use shared_memory::shared_memory;
pub(super) use tee::{TeeLog, tee_log};

use super::Error;

/// The list at `pointer`, made if there is none; what leads to it has been checked to be objects.
fn list<'a>(spec: &'a mut Value, parents: &[&str], name: &str) -> Result<&'a mut Vec<Value>, Error> {
    let parent = parents.iter().fold(spec, |value, name| &mut value[*name]);
    if !parent.is_null() && !parent.is_object() {
        return Err(Error::Invalid(format!("the specification's {} is not an object", parents.join("."))));
    }
    let list = &mut parent[name];
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().ok_or_else(|| Error::Invalid(format!("the specification's {name} is not a list")))
}

/// Appends a mount.
pub(super) fn add_mount(spec: &mut Value, mount: Value) -> Result<(), Error> {
    list(spec, &[], "mounts")?.push(mount);
    Ok(())
}

/// Whether a mount shows files that are there already, as libcontainer sees it.
pub(super) fn is_bind(mount: &Value) -> bool {
    let options = mount["options"].as_array().map(Vec::as_slice).unwrap_or_default();
    mount["type"] == "bind" || options.iter().any(|word| word == "bind" || word == "rbind")
}

/// Where a mount is: absolute, as old specifications do not have to put it.
fn destination(mount: &Value) -> PathBuf {
    Path::new("/").join(mount["destination"].as_str().unwrap_or_default())
}

/// Appends a device rule.
fn allow(spec: &mut Value, rule: Value) -> Result<(), Error> {
    list(spec, &["linux", "resources"], "devices")?.push(rule);
    Ok(())
}

/// `path` below `base`, with its dots worked out; refused if they lead outside.
fn below(base: &Path, path: &str) -> Result<PathBuf, Error> {
    let mut cleaned = base.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            _ => {}
        }
    }
    if cleaned.starts_with(base) {
        Ok(cleaned)
    } else {
        Err(Error::Invalid(format!("{path:?} leads out of {}", base.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_cannot_lead_outside() {
        let base = Path::new("/run/gcs/c/p/sandboxMounts");
        assert_eq!(below(base, "/a/./b/../c").unwrap(), base.join("a/c"));
        assert_eq!(below(base, "").unwrap(), base);
        for bad in ["..", "../sandboxMountsX", "a/../../logs"] {
            assert!(below(base, bad).is_err(), "{bad}");
        }
    }
}
