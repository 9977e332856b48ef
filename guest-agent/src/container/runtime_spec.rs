//! Makes specifications fit for libcontainer 0.7, whose gaps are closed here and in the executor.

use std::path::Path;

use serde_json::{Value, json};

use super::{Error, capabilities, rewrite, user};

/// Checks what later steps rely on, and fills in what they change.
pub(super) fn check(spec: &mut Value) -> Result<(), Error> {
    let root = spec["root"]["path"].as_str().unwrap_or_default();
    if !root.starts_with('/') {
        return Err(Error::Invalid(format!("root.path {root:?} is not absolute")));
    }
    if spec["process"]["args"].as_array().is_none_or(Vec::is_empty) {
        return Err(Error::Invalid("process.args is empty".to_owned()));
    }
    if spec["linux"].is_null() {
        spec["linux"] = json!({});
    }
    for part in
        ["/linux", "/process", "/process/capabilities", "/process/user", "/annotations", "/linux/resources"]
    {
        if spec.pointer(part).is_some_and(|value| !value.is_null() && !value.is_object()) {
            return Err(Error::Invalid(format!("the specification's {part} is not an object")));
        }
    }
    Ok(())
}

/// Changes a container's specification: what libcontainer would misread is taken out or spelled out.
pub(super) fn adapt(spec: &mut Value) {
    adapt_process(&mut spec["process"]);
    capabilities::adapt(&mut spec["process"]["capabilities"]);
    let resources = &mut spec["linux"]["resources"];
    if resources.is_null() {
        // Without any, libcontainer would not even keep devices away.
        *resources = json!({});
    }
    spec.pointer_mut("/linux/rootfsPropagation").map(adapt_propagation);
    spec["mounts"].as_array_mut().into_iter().flatten().for_each(name_source);
    if let Some(document) = spec.as_object_mut() {
        // For the host alone; and hooks from a host are not run.
        document.remove("windows");
        document.remove("hooks");
        // An empty name asks for none, and libcontainer would set it.
        for name in ["hostname", "domainname"] {
            if document.get(name).is_some_and(|text| text == "") {
                document.remove(name);
            }
        }
    }
}

/// Of the words for a root's propagation libcontainer knows only those without an `r`, and makes them recursive.
fn adapt_propagation(propagation: &mut Value) {
    let known = ["shared", "slave", "private", "unbindable"];
    let word = propagation.as_str().and_then(|word| word.strip_prefix('r'));
    if let Some(word) = word.and_then(|word| known.iter().find(|known| **known == word)) {
        *propagation = (*word).into();
    }
}

/// A file system without a device needs no `source`, which libcontainer asks for all the same. What is to be bound has
/// to be named.
fn name_source(mount: &mut Value) {
    if !rewrite::is_bind(mount) && mount["source"].as_str().is_none_or(str::is_empty) {
        let kind = mount["type"].as_str().filter(|kind| !kind.is_empty()).unwrap_or("none").to_owned();
        mount["source"] = kind.into();
    }
}

/// Written out, `false` counts as set: the filter would be loaded after capabilities are gone, and fail.
fn adapt_process(process: &mut Value) {
    let Some(process) = process.as_object_mut() else { return };
    if process.get("noNewPrivileges") == Some(&Value::Bool(false)) {
        process.remove("noNewPrivileges");
    }
    if process.get("cwd").and_then(Value::as_str).unwrap_or_default().is_empty() {
        process.insert("cwd".to_owned(), "/".into());
    }
}

/// Resolves `user.username` in the container's root, if there is one.
pub(super) async fn resolve_user(process: &mut Value, root: &Path) -> Result<(), Error> {
    let user = &mut process["user"];
    if user.is_null() {
        *user = json!({"uid": 0, "gid": 0});
    }
    let name = user["username"].as_str().unwrap_or_default().to_owned();
    if !name.is_empty() {
        let ids = user::resolve(root, &name).await?;
        user["uid"] = ids.uid.into();
        user["gid"] = ids.gid.into();
    }
    Ok(())
}

/// The user and group ids of a process.
pub(super) fn owner(process: &Value) -> (u32, u32) {
    let id = |name: &str| process["user"][name].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    (id("uid"), id("gid"))
}

/// The process of an exec in the container of `spec` (spec section 8.5).
pub(super) async fn exec_process(spec: &Value, mut process: Value, root: &Path) -> Result<Value, Error> {
    if !process.is_object() || process["args"].as_array().is_none_or(Vec::is_empty) {
        return Err(Error::Invalid("process.args is empty".to_owned()));
    }
    for part in ["capabilities", "user"] {
        if !process[part].is_null() && !process[part].is_object() {
            return Err(Error::Invalid(format!("process.{part} is not an object")));
        }
    }
    adapt_process(&mut process);
    let own = &spec["process"];
    let names_user = process["user"]["username"].as_str().is_some_and(|name| !name.is_empty());
    let inherits = own["user"]["username"].as_str().is_some_and(|name| !name.is_empty());
    if names_user {
        resolve_user(&mut process, root).await?;
        process["user"].as_object_mut().map(|user| user.remove("username"));
    } else if inherits || process["user"].is_null() {
        process["user"] = own["user"].clone();
    }
    process["rlimits"] = own["rlimits"].clone();
    for inherited in ["capabilities", "env", "oomScoreAdj"] {
        if process[inherited].is_null() {
            process[inherited] = own[inherited].clone();
        }
    }
    capabilities::adapt(&mut process["capabilities"]);
    if let Some(fields) = process.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    Ok(process)
}

/// Whether the container's namespace of a kind is its own: there is one, and it is not an existing one's path.
pub(super) fn owns_namespace(spec: &Value, kind: &str) -> bool {
    let namespaces = spec["linux"]["namespaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    namespaces.iter().any(|namespace| {
        namespace["type"] == kind && namespace["path"].as_str().unwrap_or_default().is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Value {
        json!({"root": {"path": "/r"}, "windows": {}, "hooks": {},
            "process": {"args": ["sh"], "noNewPrivileges": false, "user": {"uid": 5, "gid": 6, "username": "web"},
                "capabilities": {"effective": ["CAP_KILL"], "permitted": ["CAP_KILL"], "bounding": ["CAP_KILL"]},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]},
            "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "namespaces": [{"type": "pid"}]}})
    }

    #[test]
    fn what_libcontainer_would_misread_is_taken_out() {
        let mut spec = spec();
        check(&mut spec).unwrap();
        spec["linux"]["rootfsPropagation"] = json!("rslave");
        spec["hostname"] = json!("");
        spec["mounts"] = json!([{"destination": "/x", "type": "tmpfs"}, {"destination": "/y", "source": ""},
            {"destination": "/z", "options": ["rbind"]}, {"destination": "/p", "type": "proc", "source": "other"}]);
        adapt(&mut spec);
        assert_eq!(spec["linux"]["rootfsPropagation"], "slave");
        assert_eq!(spec["linux"]["resources"], json!({}));
        let sources = spec["mounts"].as_array().unwrap().iter().map(|mount| mount["source"].clone());
        assert_eq!(sources.collect::<Value>(), json!(["tmpfs", "none", null, "other"]));
        assert!(spec["process"].get("noNewPrivileges").is_none());
        assert_eq!(spec["process"]["cwd"], "/");
        assert!(
            spec.get("hostname").is_none() && spec.get("windows").is_none() && spec.get("hooks").is_none()
        );
        for bad in [
            json!({"root": {"path": "/r"}, "process": {"args": ["x"]}, "linux": "x"}),
            json!({"root": {"path": "/r"}, "process": {"args": ["x"], "capabilities": []}}),
            json!({"root": {"path": "r"}}),
            json!({"root": {"path": "/r"}, "process": {"args": []}}),
        ] {
            assert!(check(&mut bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_exec_gets_the_containers_limits_user_and_capabilities() {
        let process = json!({"args": ["id"], "noNewPrivileges": false});
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let adapted = |process| runtime.block_on(exec_process(&spec(), process, Path::new("/")));
        let process = adapted(process).unwrap();
        assert_eq!(process["user"]["uid"], 5);
        assert_eq!(process["rlimits"][0]["hard"], 2);
        assert_eq!(process["capabilities"]["effective"], json!(["CAP_KILL"]));
        assert!(process.get("noNewPrivileges").is_none() && process.get("env").is_none());
        assert!(adapted(json!({"args": []})).is_err());
    }

    #[test]
    fn a_joined_pid_namespace_is_not_its_own() {
        assert!(owns_namespace(&spec(), "pid"));
        let joined = json!({"linux": {"namespaces": [{"type": "pid", "path": "/proc/9/ns/pid"}]}});
        assert!(!owns_namespace(&joined, "pid"));
        assert!(!owns_namespace(&json!({"linux": {}}), "pid"));
    }
}
