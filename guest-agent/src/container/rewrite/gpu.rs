//! GPUs (spec section 7.11): their driver's own tool puts libraries and device nodes into the container, as a hook that
//! runs once the container's namespaces are there.

use std::path::Path;

use serde_json::{Value, json};

use super::allow;
use crate::container::{Error, annotations};
use crate::runtime;

/// Fills the container's pid into the tool's arguments.
const HOOK: &str = "generichook";
/// The tool, which comes with the driver and is no part of this project.
const TOOL: &str = "nvidia-container-cli";
/// Seconds the tool may take.
const PATIENCE: u32 = 120;

/// Adds the hook for GPUs at these places on the PCI bus; `environment` is the agent's own, where the tools are looked for.
pub(in crate::container) fn gpu_hook(
    spec: &mut Value,
    bundle: &Path,
    places: &[String],
    environment: &[(String, String)],
) -> Result<(), Error> {
    if places.is_empty() {
        return Ok(());
    }
    let path = environment.iter().find(|(name, _)| name == "PATH").map_or("", |(_, path)| path);
    let find = |tool: &str| {
        runtime::search(tool, path).map_err(|_| {
            Error::Invalid(format!(
                "a GPU was assigned, and this utility VM's image has no {tool} that could pass it on"
            ))
        })
    };
    find(TOOL)?;
    let hook = find(HOOK)?;
    let log = bundle.join("nvidia-container.log");
    let root = spec["root"]["path"].as_str().unwrap_or_default().to_owned();
    let mut args = [HOOK, TOOL].map(str::to_owned).to_vec();
    args.push(format!("--debug={}", log.display()));
    args.extend(["--no-pivot", "configure", "--ldconfig=@/sbin/ldconfig"].map(str::to_owned));
    args.extend(capabilities(spec)?);
    args.extend(places.iter().map(|place| format!("--device={place}")));
    args.extend(["--pid={{pid}}".to_owned(), root]);
    let mut env: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    env.push("NVC_INSECURE_MODE=1".to_owned());
    env.push(format!("GENERIC_HOOK_LOG_DEBUG_FILE={}", log.display()));
    spec["hooks"] = json!({"createRuntime": [{"path": hook, "args": args, "env": env, "timeout": PATIENCE}]});
    // The tool makes nodes whose numbers nobody knows before.
    allow(spec, json!({"allow": true, "type": "c", "access": "rwm"}))
}

/// What the container may do with its GPUs, as flags.
fn capabilities(spec: &Value) -> Result<Vec<String>, Error> {
    let text = annotations::text(spec, annotations::GPU_CAPABILITIES).unwrap_or_default();
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let flag = |word: &str| {
        // Anything else would be another argument of the tool.
        let plain =
            word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let known = plain && !word.starts_with('-');
        known
            .then(|| format!("--{word}"))
            .ok_or_else(|| Error::Invalid(format!("{word:?} is no capability of a GPU")))
    };
    words.map(flag).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn spec(capabilities: &str) -> Value {
        json!({"root": {"path": "/run/c/rootfs"}, "annotations": {annotations::GPU_CAPABILITIES: capabilities}})
    }

    #[test]
    fn the_drivers_tool_becomes_a_hook_if_the_image_has_it() {
        let directory = std::env::temp_dir().join(format!("gpu-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let environment = [("PATH".to_owned(), directory.to_string_lossy().into_owned())];
        let places = ["1234:00:00.0".to_owned(), "5678:00:00.0".to_owned()];
        let hook = |spec: &mut Value| gpu_hook(spec, Path::new("/run/c"), &places, &environment);
        for tool in [TOOL, HOOK] {
            let refused = hook(&mut spec("utility")).unwrap_err().to_string();
            assert!(refused.contains(tool), "{refused}");
            fs::write(directory.join(tool), "#!/bin/sh\n").unwrap();
            fs::set_permissions(directory.join(tool), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut good = spec("utility, compute");
        hook(&mut good).unwrap();
        let added = &good["hooks"]["createRuntime"][0];
        assert_eq!(added["path"], json!(directory.join(HOOK)));
        let args = [
            "generichook",
            "nvidia-container-cli",
            "--debug=/run/c/nvidia-container.log",
            "--no-pivot",
            "configure",
            "--ldconfig=@/sbin/ldconfig",
            "--utility",
            "--compute",
            "--device=1234:00:00.0",
            "--device=5678:00:00.0",
            "--pid={{pid}}",
            "/run/c/rootfs",
        ];
        assert_eq!(added["args"], json!(args));
        assert!(added["env"].as_array().unwrap().contains(&json!("NVC_INSECURE_MODE=1")));
        let rule = json!({"allow": true, "type": "c", "access": "rwm"});
        assert_eq!(good["linux"]["resources"]["devices"], json!([rule]));
        for bad in ["utility --root=/", "--pid=1", "Utility"] {
            assert!(hook(&mut spec(bad)).is_err(), "{bad}");
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn without_a_gpu_there_is_no_hook() {
        let mut spec = spec("utility");
        gpu_hook(&mut spec, Path::new("/run/c"), &[], &[]).unwrap();
        assert!(spec.get("hooks").is_none());
    }
}
