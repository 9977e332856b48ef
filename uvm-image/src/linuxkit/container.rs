//! A container: what its image's label and the description say, the description over the label.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::{Id, Item};
use super::json;
use super::node::Node;
use super::schema::LABEL;
use super::validate::{Invalid, validate};

/// The label of images with settings for their containers.
pub const LABEL_NAME: &str = "org.mobyproject.config";

/// A container's settings; what is `None` is the image's or the runtime's choice.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What it runs.
    pub command: Option<Vec<String>>,
    /// Environment.
    pub env: Option<Vec<String>>,
    /// Current directory.
    pub cwd: Option<String>,
    /// Capabilities; `all` or `none` alone are special.
    pub capabilities: Vec<String>,
    /// Ambient capabilities.
    pub ambient: Vec<String>,
    /// Mounts, by destination over the usual ones.
    pub mounts: Vec<Mount>,
    /// `SOURCE:DESTINATION[:OPTIONS]`.
    pub binds: Vec<String>,
    /// `DESTINATION[:OPTIONS]`.
    pub tmpfs: Vec<String>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Network namespace.
    pub net: String,
    /// IPC namespace.
    pub ipc: String,
    /// Host name's namespace.
    pub uts: String,
    /// User namespace.
    pub userns: String,
    /// Process namespace.
    pub pid: String,
    /// Host name.
    pub hostname: String,
    /// Whether its root is read-only.
    pub readonly: bool,
    /// Paths it cannot see.
    pub masked_paths: Vec<String>,
    /// Paths it cannot write.
    pub readonly_paths: Vec<String>,
    /// Its user.
    pub uid: Option<Id>,
    /// Its group.
    pub gid: Option<Id>,
    /// Further groups.
    pub additional_gids: Vec<Id>,
    /// Whether it can gain no privileges.
    pub no_new_privileges: bool,
    /// How gladly the kernel kills it.
    pub oom_score_adj: Option<i64>,
    /// How mounts spread from its root.
    pub rootfs_propagation: Option<String>,
    /// Its cgroup.
    pub cgroups_path: Option<String>,
    /// Limits, as the runtime specification has them except for `blockio`.
    pub resources: Option<Map<String, Value>>,
    /// Kernel settings.
    pub sysctl: BTreeMap<String, String>,
    /// Remarks.
    pub annotations: BTreeMap<String, String>,
    /// `NAME,SOFT,HARD`.
    pub rlimits: Vec<String>,
    /// User numbers outside and inside.
    pub uid_mappings: Vec<Value>,
    /// Group numbers outside and inside.
    pub gid_mappings: Vec<Value>,
    /// What is prepared before it starts.
    pub runtime: Runtime,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// The file system's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Where.
    pub destination: String,
    /// How.
    pub options: Vec<String>,
    /// User numbers outside and inside.
    pub uidmappings: Vec<Value>,
    /// Group numbers outside and inside.
    pub gidmappings: Vec<Value>,
}

/// A device.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Its path; `all` allows all devices of the type and makes none.
    pub path: String,
    /// `b`, `c`, `a`…
    #[serde(rename = "type")]
    pub kind: String,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permissions, octal.
    pub mode: String,
}

/// What is prepared before a container starts; it goes to `runtime.json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Runtime {
    /// Groups to make.
    pub cgroups: Vec<String>,
    /// Mounts to make.
    pub mounts: Vec<Mount>,
    /// Directories to make.
    pub mkdir: Vec<String>,
    /// Network interfaces to move in.
    pub interfaces: Vec<Value>,
    /// Files that keep the container's namespaces.
    #[serde(rename = "bindNS")]
    pub bind_ns: BTreeMap<String, String>,
    /// containerd's namespace.
    pub namespace: Option<String>,
}

/// Why a container cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The label is no JSON.
    #[error("the {LABEL_NAME} label of {image} is no JSON")]
    Label {
        /// The image.
        image: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// The label has fields that there are not.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A number is out of range.
    #[error("container {name}: a value is out of range")]
    Range {
        /// The container.
        name: String,
        /// Which.
        source: serde_json::Error,
    },
}

impl Container {
    /// The container of `item` on an image whose label says `label`.
    pub fn of(item: &Item, label: Map<String, Value>) -> Result<Self, ContainerError> {
        let merged = Value::Object(merge(label, item));
        serde_json::from_value(merged).map_err(|source| {
            let name = item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            ContainerError::Range { name, source }
        })
    }
}

/// What the label `text` of `image` says; nothing if there is none.
pub fn read_label(text: Option<&str>, image: &str) -> Result<Map<String, Value>, ContainerError> {
    let Some(text) = text else { return Ok(Map::new()) };
    let value =
        json::parse(text).map_err(|source| ContainerError::Label { image: image.to_owned(), source })?;
    let name = format!("The {LABEL_NAME} label of {image}");
    validate(&name, &Node::of_json(value.clone()), &LABEL, "services.0")?;
    Ok(if let Value::Object(map) = value { map } else { Map::new() })
}

/// Each field of `item` replaces the label's, but for what is added to lists and for the parts of `runtime`.
fn merge(mut all: Map<String, Value>, item: &Item) -> Map<String, Value> {
    for (key, value) in item {
        match (all.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) if key == "runtime" => {
                below.extend(above.clone());
            }
            _ => {
                all.insert(key.clone(), value.clone());
            }
        }
    }
    for list in ["capabilities", "binds"] {
        let added = item.get(&format!("{list}.add")).and_then(Value::as_array);
        if let (Some(added), false) = (added, item.contains_key(list)) {
            let whole = all.entry(list).or_insert_with(|| Value::Array(Vec::new()));
            whole.as_array_mut().into_iter().for_each(|whole| whole.extend(added.iter().cloned()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(item: &Value, label: &Value) -> Container {
        let label = read_label(Some(&label.to_string()), "i").unwrap();
        Container::of(item.as_object().unwrap(), label).unwrap()
    }

    #[test]
    fn the_description_replaces_the_label_field_by_field() {
        let label = json!({
            "binds": ["/a:/a"], "capabilities": ["CAP_CHOWN"], "env": ["X=1"],
            "runtime": {"mkdir": ["/m"], "cgroups": ["c"]},
        });
        let item = json!({
            "name": "n", "image": "i", "binds.add": ["/b:/b"], "capabilities.add": ["CAP_KILL"],
            "env": [], "runtime": {"mkdir": ["/other"]},
        });
        let container = merged(&item, &label);
        assert_eq!(container.binds, ["/a:/a", "/b:/b"]);
        assert_eq!(container.capabilities, ["CAP_CHOWN", "CAP_KILL"]);
        assert_eq!(container.env, Some(Vec::new()));
        assert_eq!(
            (container.runtime.mkdir, container.runtime.cgroups),
            (vec!["/other".into()], vec!["c".into()])
        );
        let item = json!({"name": "n", "image": "i", "binds": [], "binds.add": ["/b:/b"]});
        assert_eq!(merged(&item, &label).binds, [""; 0]);
    }

    #[test]
    fn labels_are_strict_too() {
        let error = read_label(Some(r#"{"name": "x"}"#), "i").unwrap_err().to_string();
        assert!(error.starts_with("The org.mobyproject.config label of i is invalid:"), "{error}");
        assert!(matches!(read_label(Some("{"), "i"), Err(ContainerError::Label { .. })));
    }
}
