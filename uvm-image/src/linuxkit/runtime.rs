//! `runtime.json`: what is prepared before a container starts.

use serde_json::{Value, json};

use super::container::{Container, Mount, Runtime};
use super::mounts::{mount, to_json};

/// The namespaces that a container can keep by a file.
const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// Where the files of a container's root are, without leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// In its own directory.
    Own,
    /// In another one with the same image.
    Shared(String),
}

/// `runtime.json` of the container in the directory `path`.
pub fn runtime(container: &Container, path: &str, root: &Root) -> Value {
    let Runtime { cgroups, mounts, mkdir, interfaces, bind_ns, namespace } = &container.runtime;
    let all: Vec<Value> = root_mounts(container, path, root).iter().chain(mounts).map(to_json).collect();
    let kept: serde_json::Map<String, Value> = NAMESPACES
        .iter()
        .map(|name| ((*name).to_owned(), bind_ns.get(*name).map_or("", String::as_str).into()))
        .collect();
    let mut runtime = json!({"bindNS": kept});
    let optional = [
        ("cgroups", json!(cgroups)),
        ("mounts", json!(all)),
        ("mkdir", json!(mkdir)),
        ("interfaces", json!(interfaces)),
    ];
    for (key, list) in optional {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            runtime[key] = list;
        }
    }
    if let Some(namespace) = namespace {
        runtime["namespace"] = namespace.as_str().into();
    }
    runtime
}

/// What makes the container's root.
fn root_mounts(container: &Container, path: &str, root: &Root) -> Vec<Mount> {
    let lower = match root {
        Root::Own => format!("/{path}/lower"),
        Root::Shared(other) => format!("/{other}"),
    };
    let rootfs = format!("/{path}/rootfs");
    if container.readonly {
        return match root {
            Root::Own => Vec::new(),
            Root::Shared(_) => vec![mount("bind", &lower, &rootfs, &["bind"])],
        };
    }
    let tmp = format!("/{path}/tmp");
    let layers =
        [format!("lowerdir={lower}"), format!("upperdir={tmp}/upper"), format!("workdir={tmp}/work")];
    let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
    vec![
        mount("tmpfs", "tmpfs", &tmp, &[]),
        // The tmpfs must not spread to other namespaces.
        mount("none", "none", &tmp, &["remount", "private"]),
        mount("overlay", "overlay", &rootfs, &layers),
    ]
}
