//! Devices of a container (spec section 7.6, step 6).

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use serde_json::{Value, json};

use super::{allow, list};
use crate::container::{Error, annotations};

/// Directories below `/dev` that are no devices of the machine.
const SKIPPED: &[&str] = &["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];

/// Every device of the VM for a privileged container; otherwise the real numbers of those that it names.
pub(in crate::container) fn devices(spec: &mut Value) -> Result<(), Error> {
    if !annotations::flag(spec, annotations::PRIVILEGED) {
        return resolve(spec);
    }
    let mut nodes = nodes(Path::new("/dev"))?;
    nodes.retain(|(path, _)| path.file_name().is_none_or(|name| name != "console"));
    let named = list(spec, &["linux"], "devices")?;
    let (replaced, mut devices): (Vec<Value>, Vec<Value>) = std::mem::take(named)
        .into_iter()
        .partition(|device| nodes.iter().any(|(path, _)| device["path"] == path.to_string_lossy().as_ref()));
    devices.extend(nodes.iter().filter_map(|(path, metadata)| {
        let mut found = describe(path, metadata)?;
        if let Some(given) = replaced.iter().find(|device| device["path"] == found["path"]) {
            keep_mode(&mut found, given);
        }
        Some(found)
    }));
    *named = devices;
    *list(spec, &["linux", "resources"], "devices")? = vec![json!({"allow": true, "access": "rwm"})];
    Ok(())
}

/// Replaces each entry by what is really there.
fn resolve(spec: &mut Value) -> Result<(), Error> {
    let mut rules = Vec::new();
    for device in list(spec, &["linux"], "devices")? {
        let path = PathBuf::from(device["path"].as_str().unwrap_or_default());
        let metadata = fs::metadata(&path).map_err(Error::io("looking for the device", &path))?;
        let Some(mut found) = describe(&path, &metadata) else {
            return Err(Error::Invalid(format!("{} is no device", path.display())));
        };
        keep_mode(&mut found, device);
        rules.push(rule(&found));
        *device = found;
    }
    rules.into_iter().try_for_each(|rule| allow(spec, rule))
}

/// Adds a device of the VM and the rule for it.
pub(super) fn add(spec: &mut Value, path: &Path, metadata: &Metadata) -> Result<(), Error> {
    let Some(device) = describe(path, metadata) else { return Ok(()) };
    let rule = rule(&device);
    list(spec, &["linux"], "devices")?.push(device);
    allow(spec, rule)
}

fn rule(device: &Value) -> Value {
    json!({"allow": true, "type": device["type"], "major": device["major"], "minor": device["minor"], "access": "rwm"})
}

/// The permissions that a host asks for are the node's.
fn keep_mode(found: &mut Value, given: &Value) {
    if !given["fileMode"].is_null() {
        found["fileMode"] = given["fileMode"].clone();
    }
}

/// A device node as specifications put it; `None` for anything else. Its permissions are left to the runtime, which makes
/// it for everybody: in the VM most nodes are root's alone, and the cgroup decides who may use a device.
fn describe(path: &Path, metadata: &Metadata) -> Option<Value> {
    let kind = match metadata.file_type() {
        kind if kind.is_block_device() => "b",
        kind if kind.is_char_device() => "c",
        _ => return None,
    };
    let (major, minor) = (major(metadata.rdev()), minor(metadata.rdev()));
    if (major, minor) == (0, 0) {
        return None;
    }
    Some(json!({"path": path, "type": kind, "major": major, "minor": minor,
        "uid": metadata.uid(), "gid": metadata.gid()}))
}

/// Every device node below `directory`.
pub(super) fn nodes(directory: &Path) -> Result<Vec<(PathBuf, Metadata)>, Error> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).map_err(Error::io("listing", &directory))?;
        for entry in entries.flatten() {
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            if metadata.is_dir() {
                let skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
                open.extend((!skipped).then(|| entry.path()));
            } else if describe(&entry.path(), &metadata).is_some() {
                found.push((entry.path(), metadata));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_device_gets_its_real_numbers_and_a_rule() {
        let mut spec = json!({"linux": {"devices": [{"path": "/dev/null", "type": "b", "major": 9, "minor": 9},
            {"path": "/dev/zero", "fileMode": 0o440}], "resources": {"devices": [{"allow": false, "access": "rwm"}]}}});
        devices(&mut spec).unwrap();
        assert_eq!(spec["linux"]["devices"][1]["fileMode"], 0o440);
        let device = &spec["linux"]["devices"][0];
        assert!(device.get("fileMode").is_none(), "{device}");
        assert_eq!(
            (&device["type"], &device["major"], &device["minor"]),
            (&json!("c"), &json!(1), &json!(3))
        );
        let rules = spec["linux"]["resources"]["devices"].as_array().unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[1], json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}));
        for bad in ["/dev/no-such-device", "/etc/passwd"] {
            let mut spec = json!({"linux": {"devices": [{"path": bad}]}});
            assert!(devices(&mut spec).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_privileged_container_gets_every_device_once_and_one_rule() {
        let mut spec = json!({"annotations": {annotations::PRIVILEGED: "true"},
            "linux": {"devices": [{"path": "/dev/null", "fileMode": 0o600}], "resources": {"devices": [{"allow": false}]}}});
        devices(&mut spec).unwrap();
        let named = spec["linux"]["devices"].as_array().unwrap();
        let modes: Vec<_> = named
            .iter()
            .filter(|device| device["path"] == "/dev/null")
            .map(|device| &device["fileMode"])
            .collect();
        assert_eq!(modes, [&json!(0o600)]);
        assert!(named.iter().any(|device| device["path"] == "/dev/zero" && device["minor"] == 5));
        assert!(named.iter().all(|device| device["path"] != "/dev/console"));
        assert_eq!(spec["linux"]["resources"]["devices"], json!([{"allow": true, "access": "rwm"}]));
    }
}
