//! `config.json`: a container as the runtime takes it (OCI runtime-spec 1.2).

use lcow_oci::model::RunConfig;
use serde_json::{Map, Value, json};

use super::capabilities::{self, UnknownCapability};
use super::container::{Container, Device};
use super::ids::{Ids, UnknownId};
use super::mounts::{self, MountError, Volumes};
use super::places::At;

/// Why there is no `config.json`.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A capability that there is not.
    #[error(transparent)]
    Capability(#[from] UnknownCapability),
    /// A mount that is incomplete.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A user or group without a number.
    #[error(transparent)]
    Id(#[from] UnknownId),
    /// A limit that is none.
    #[error("{0:?} is not a resource limit: NAME,SOFT,HARD is wanted")]
    Limit(String),
    /// A device without proper permissions.
    #[error("device {path}: the mode {mode:?} is not an octal number")]
    Mode {
        /// The device.
        path: String,
        /// What stands there.
        mode: String,
    },
}

/// Names of resource limits (`getrlimit(2)`).
const LIMITS: &[&str] = &[
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// `config.json` of `container` on an image that runs `image`. Errors have their keys from the container on.
pub fn config(
    container: &Container,
    image: &RunConfig,
    ids: &Ids,
    volumes: &Volumes,
) -> Result<Value, At<SpecError>> {
    let mut spec = json!({
        "ociVersion": "1.2.1",
        "process": process(container, image, ids)?,
        "root": {"path": "rootfs", "readonly": container.readonly},
        "mounts": mounts::all(container, volumes).map_err(At::cast)?,
        "linux": linux(container)?,
    });
    if !container.hostname.is_empty() {
        spec["hostname"] = container.hostname.clone().into();
    }
    if !container.annotations.is_empty() {
        spec["annotations"] = json!(container.annotations);
    }
    Ok(spec)
}

fn process(container: &Container, image: &RunConfig, ids: &Ids) -> Result<Value, At<SpecError>> {
    let command = || image.entrypoint.iter().chain(&image.cmd).cloned().collect();
    let or_root = |text: &str| if text.is_empty() { "/".to_owned() } else { text.to_owned() };
    let mut process = json!({
        "terminal": false,
        "user": user(container, ids)?,
        "args": container.command.clone().unwrap_or_else(command),
        "env": container.env.clone().unwrap_or_else(|| image.env.clone()),
        "cwd": or_root(container.cwd.as_deref().unwrap_or(&image.working_dir)),
        "capabilities": capabilities::sets(&container.capabilities, &container.ambient).map_err(At::cast)?,
        "noNewPrivileges": container.no_new_privileges,
    });
    if !container.rlimits.is_empty() {
        let limits = container.rlimits.iter().enumerate();
        let limits = limits.map(|(at, text)| limit(text).map_err(|e| At::new(&[&"rlimits", &at], e)));
        process["rlimits"] = limits.collect::<Result<_, _>>()?;
    }
    if let Some(score) = container.oom_score_adj {
        process["oomScoreAdj"] = score.into();
    }
    Ok(process)
}

fn user(container: &Container, ids: &Ids) -> Result<Value, At<SpecError>> {
    let number = |key: &str, id| ids.number(id).map_err(|error| At::new(&[&key], error));
    let mut user =
        json!({"uid": number("uid", container.uid.as_ref())?, "gid": number("gid", container.gid.as_ref())?});
    let groups = container.additional_gids.iter().enumerate();
    let groups = groups
        .map(|(at, id)| ids.number(Some(id)).map_err(|error| At::new(&[&"additionalGids", &at], error)));
    let groups = groups.collect::<Result<Vec<u32>, At<SpecError>>>()?;
    if !groups.is_empty() {
        user["additionalGids"] = json!(groups);
    }
    Ok(user)
}

/// `NAME,SOFT,HARD` as the runtime takes it.
fn limit(text: &str) -> Result<Value, SpecError> {
    let fault = || SpecError::Limit(text.to_owned());
    let [name, soft, hard] = text.split(',').map(str::trim).collect::<Vec<_>>()[..] else {
        return Err(fault());
    };
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("RLIMIT_").unwrap_or(&name);
    if !LIMITS.contains(&name) {
        return Err(fault());
    }
    let number = |text: &str| match text {
        "unlimited" => Ok(u64::MAX),
        text => text.parse().map_err(|_| fault()),
    };
    Ok(json!({"type": format!("RLIMIT_{name}"), "soft": number(soft)?, "hard": number(hard)?}))
}

fn linux(container: &Container) -> Result<Value, At<SpecError>> {
    let mut linux = json!({"namespaces": namespaces(container)});
    let mut resources = container.resources.clone().unwrap_or_default();
    if let Some(block_io) = resources.remove("blockio") {
        resources.insert("blockIO".to_owned(), block_io);
    }
    let mut nodes = Vec::new();
    for (at, device) in container.devices.iter().enumerate() {
        let rules = resources.entry("devices").or_insert_with(|| json!([]));
        rules.as_array_mut().into_iter().for_each(|rules| rules.push(rule(device)));
        if device.path != "all" {
            nodes.push(node(device).map_err(|error| At::new(&[&"devices", &at, &"mode"], error))?);
        }
    }
    let optional = [
        ("uidMappings", json!(container.uid_mappings)),
        ("gidMappings", json!(container.gid_mappings)),
        ("sysctl", json!(container.sysctl)),
        ("resources", Value::Object(resources)),
        ("cgroupsPath", json!(container.cgroups_path)),
        ("devices", json!(nodes)),
        ("rootfsPropagation", json!(container.rootfs_propagation)),
        ("maskedPaths", json!(container.masked_paths)),
        ("readonlyPaths", json!(container.readonly_paths)),
    ];
    for (key, value) in optional {
        let empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty);
        if !empty {
            linux[key] = value;
        }
    }
    Ok(linux)
}

fn rule(device: &Device) -> Value {
    let mut rule = json!({"allow": true, "type": device.kind, "access": "rwm"});
    if device.path != "all" {
        rule["major"] = device.major.into();
        rule["minor"] = device.minor.into();
    }
    rule
}

fn node(device: &Device) -> Result<Value, SpecError> {
    let mode = u32::from_str_radix(&device.mode, 8)
        .map_err(|_| SpecError::Mode { path: device.path.clone(), mode: device.mode.clone() })?;
    let Device { path, kind, major, minor, .. } = device;
    Ok(json!({"path": path, "type": kind, "major": major, "minor": minor, "fileMode": mode}))
}

/// The namespaces of its own; all but those of processes and mounts are the host's unless it is said otherwise.
fn namespaces(container: &Container) -> Vec<Value> {
    let wanted = [
        ("network", &container.net, &["new", "none"][..], false),
        ("ipc", &container.ipc, &["new"], false),
        ("uts", &container.uts, &["new"], false),
        ("user", &container.userns, &["new"], false),
        ("pid", &container.pid, &["new"], true),
    ];
    let mut namespaces = Vec::new();
    for (kind, value, fresh, own) in wanted {
        match value.as_str() {
            "host" | "root" => {}
            "" if !own => {}
            "" => namespaces.push(json!({"type": kind})),
            word if fresh.contains(&word) => namespaces.push(json!({"type": kind})),
            path => namespaces.push(json!({"type": kind, "path": path})),
        }
    }
    namespaces.push(json!({"type": "mount"}));
    namespaces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(item: &Value) -> Result<Value, At<SpecError>> {
        let container = Container::of(item.as_object().unwrap(), Map::new()).unwrap();
        let image = RunConfig {
            entrypoint: vec!["/e".into()],
            cmd: vec!["c".into()],
            env: vec!["A=1".into()],
            user: "nobody".into(),
            ..RunConfig::default()
        };
        config(&container, &image, &Ids::default(), &Volumes::default())
    }

    #[test]
    fn the_image_says_what_the_description_does_not() {
        let spec = spec(&json!({"name": "n", "image": "i"})).unwrap();
        assert_eq!(spec["process"]["args"], json!(["/e", "c"]));
        assert_eq!(spec["process"]["user"], json!({"uid": 0, "gid": 0}), "the image's user is ignored");
        assert_eq!(spec["process"]["capabilities"]["bounding"], json!([]));
        assert_eq!(spec["linux"]["namespaces"], json!([{"type": "pid"}, {"type": "mount"}]));
        assert_eq!((&spec["root"]["path"], &spec["process"]["cwd"]), (&json!("rootfs"), &json!("/")));
    }

    #[test]
    fn long_names_reach_the_runtime() {
        let resources = json!({
            "memory": {"kernelTCP": 5, "disableOOMKiller": true},
            "cpu": {"realtimeRuntime": 6, "realtimePeriod": 7},
            "blockio": {"leafWeight": 8, "throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 3}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 9}],
            "network": {"classID": 10},
        });
        let mappings = json!([{"hostID": 5, "containerID": 6, "size": 7}]);
        let item = json!({"name": "n", "image": "i", "resources": resources, "uidMappings": mappings});
        let spec = spec(&item).unwrap();
        let found = &spec["linux"]["resources"];
        for key in ["memory", "cpu", "hugepageLimits", "network"] {
            assert_eq!(found[key], resources[key], "{key}");
        }
        assert_eq!(found["blockIO"], resources["blockio"]);
        assert_eq!(spec["linux"]["uidMappings"], mappings);
    }

    #[test]
    fn namespaces_devices_and_limits() {
        let spec = spec(&json!({
            "name": "n", "image": "i", "pid": "host", "net": "/run/netns/x", "ipc": "new",
            "devices": [{"path": "all", "type": "b"}, {"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "mode": "0666"}],
            "rlimits": ["nofile,1,unlimited"],
        }))
        .unwrap();
        let expected =
            json!([{"type": "network", "path": "/run/netns/x"}, {"type": "ipc"}, {"type": "mount"}]);
        assert_eq!(spec["linux"]["namespaces"], expected);
        assert_eq!(spec["linux"]["devices"][0]["fileMode"], 0o666);
        assert_eq!(
            spec["linux"]["resources"]["devices"][0],
            json!({"allow": true, "type": "b", "access": "rwm"})
        );
        assert_eq!(
            spec["process"]["rlimits"][0],
            json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": u64::MAX})
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (field, value, expected) in [
            ("capabilities", json!(["NET_ADMIN"]), "unknown capability: NET_ADMIN"),
            ("uid", json!("who"), "cannot find id: who"),
            ("rlimits", json!(["nofile,1"]), "\"nofile,1\" is not a resource limit"),
            ("devices", json!([{"path": "/dev/x"}]), "the mode \"\" is not"),
            (
                "mounts",
                json!([{"source": "/a", "destination": "/b"}]),
                "mount for destination /b is missing type",
            ),
        ] {
            let error =
                spec(&json!({"name": "n", "image": "i", field: value})).unwrap_err().error.to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
