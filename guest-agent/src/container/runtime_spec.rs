//! Makes specifications fit for libcontainer 0.7, whose gaps are closed here and in the executor.

use std::path::Path;

use serde_json::{Value, json};

use super::Error;
use super::user;

/// Capabilities that loading a seccomp profile late needs; see `runtime::executor`.
const FOR_CONFINING: [&str; 2] = ["CAP_SYS_ADMIN", "CAP_SETPCAP"];

/// Changes a container's specification: what libcontainer would misread is taken out or spelled out.
pub(super) fn adapt(spec: &mut Value) -> Result<(), Error> {
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
    adapt_process(&mut spec["process"]);
    if let Some(document) = spec.as_object_mut() {
        // For the host alone; and hooks from a host are not run.
        document.remove("windows");
        document.remove("hooks");
    }
    Ok(())
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
pub(super) fn resolve_user(process: &mut Value, root: &Path) -> Result<(), Error> {
    let user = &mut process["user"];
    if user.is_null() {
        *user = json!({"uid": 0, "gid": 0});
    }
    let name = user["username"].as_str().unwrap_or_default().to_owned();
    if !name.is_empty() {
        let ids = user::resolve(root, &name)?;
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

/// An exec: the process for libcontainer, and what its executor does afterwards.
pub(super) struct ExecPlan {
    pub(super) process: Value,
    pub(super) confinement: Value,
}

/// Prepares an exec in the container of `spec` (spec section 8.5).
pub(super) fn plan_exec(spec: &Value, mut process: Value, root: &Path) -> Result<ExecPlan, Error> {
    if !process.is_object() || process["args"].as_array().is_none_or(Vec::is_empty) {
        return Err(Error::Invalid("process.args is empty".to_owned()));
    }
    adapt_process(&mut process);
    let own = &spec["process"];
    process["rlimits"] = own["rlimits"].clone();
    if process["rlimits"].is_null() {
        process.as_object_mut().map(|process| process.remove("rlimits"));
    }
    let names_user = process["user"]["username"].as_str().is_some_and(|name| !name.is_empty());
    let inherits = own["user"]["username"].as_str().is_some_and(|name| !name.is_empty());
    if names_user {
        resolve_user(&mut process, root)?;
        process["user"].as_object_mut().map(|user| user.remove("username"));
    } else if inherits || process["user"].is_null() {
        process["user"] = own["user"].clone();
    }
    if process["capabilities"].is_null() {
        process["capabilities"] = own["capabilities"].clone();
    }
    if process["env"].is_null() {
        process["env"] = own["env"].clone();
    }
    let seccomp = spec["linux"]["seccomp"].clone();
    let capabilities = process["capabilities"].clone();
    if capabilities.is_null() {
        process.as_object_mut().map(|process| process.remove("capabilities"));
    } else if !seccomp.is_null() {
        for set in ["bounding", "effective", "permitted"] {
            add_capabilities(&mut process["capabilities"][set]);
        }
    }
    let confinement =
        if seccomp.is_null() { json!({}) } else { json!({"seccomp": seccomp, "capabilities": capabilities}) };
    Ok(ExecPlan { process, confinement })
}

fn add_capabilities(set: &mut Value) {
    if set.is_null() {
        *set = json!([]);
    }
    if let Some(set) = set.as_array_mut() {
        for name in FOR_CONFINING {
            if !set.iter().any(|present| present == name) {
                set.push(name.into());
            }
        }
    }
}

/// Whether the container's pid namespace is its own: there is one, and it is not an existing one's path.
pub(super) fn owns_pid_namespace(spec: &Value) -> bool {
    let namespaces = spec["linux"]["namespaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    namespaces.iter().any(|namespace| {
        namespace["type"] == "pid" && namespace["path"].as_str().unwrap_or_default().is_empty()
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
        adapt(&mut spec).unwrap();
        assert!(spec["process"].get("noNewPrivileges").is_none());
        assert_eq!(spec["process"]["cwd"], "/");
        assert!(spec.get("windows").is_none() && spec.get("hooks").is_none());
        for bad in [json!({"root": {"path": "r"}}), json!({"root": {"path": "/r"}, "process": {"args": []}})]
        {
            assert!(adapt(&mut bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_exec_gets_the_containers_limits_user_and_profile() {
        let process = json!({"args": ["id"], "noNewPrivileges": false});
        let plan = plan_exec(&spec(), process, Path::new("/")).unwrap();
        assert_eq!(plan.process["user"]["uid"], 5);
        assert_eq!(plan.process["rlimits"][0]["hard"], 2);
        assert_eq!(
            plan.process["capabilities"]["effective"],
            json!(["CAP_KILL", "CAP_SYS_ADMIN", "CAP_SETPCAP"])
        );
        assert_eq!(plan.confinement["capabilities"]["effective"], json!(["CAP_KILL"]));
        assert_eq!(plan.confinement["seccomp"]["defaultAction"], "SCMP_ACT_ALLOW");
    }

    #[test]
    fn without_a_profile_an_exec_gets_no_capability_that_it_does_not_have() {
        let mut spec = spec();
        spec["linux"]["seccomp"] = Value::Null;
        let plan =
            plan_exec(&spec, json!({"args": ["id"], "user": {"uid": 1, "gid": 1}}), Path::new("/")).unwrap();
        assert_eq!(plan.process["capabilities"]["effective"], json!(["CAP_KILL"]));
        assert_eq!(plan.confinement, json!({}));
    }

    #[test]
    fn a_joined_pid_namespace_is_not_its_own() {
        assert!(owns_pid_namespace(&spec()));
        assert!(!owns_pid_namespace(
            &json!({"linux": {"namespaces": [{"type": "pid", "path": "/proc/9/ns/pid"}]}})
        ));
        assert!(!owns_pid_namespace(&json!({"linux": {}})));
    }
}
