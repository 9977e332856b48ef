//! What libcontainer 0.7 leaves undone in a container's root, or cannot do there, is done by a hook of our own (see
//! [`root_completion`]). Here it is decided whether a container needs it; most do not.
//!
//! libcontainer makes nodes and links in `/dev` whatever is there, and fails at the first that exists. So where one does,
//! it gets an empty file system to make them in, which the hook takes away.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;
use serde_json::{Value, json};

use super::destinations::{Place, View};
use super::{add_mount, destination};
use crate::container::root_completion::{self, DEFAULT_DEVICES, LINKS, PTMX, Step};
use crate::container::{Error, guest_path};

/// The program of libcontainer's process is this one, under whatever name it is installed.
const OURSELVES: &str = "/proc/self/exe";
const DEV: &str = "/dev";

/// Adds the hook to `spec` if the container in `root` needs it.
pub(in crate::container) fn complete(spec: &mut Value, root: &Path, bundle: &Path) -> Result<(), Error> {
    let view = View::after(&spec["mounts"], root);
    // The hook of a GPU's driver makes nodes as well, which must stay.
    let step = if spec["hooks"].is_null() && clashes(spec, &view, root) {
        Some(if keeps_devices(&spec["mounts"]) { Step::Uncover } else { Step::MakeDevices })
    } else {
        lacks_directory(&spec["process"], &view, root).then_some(Step::MakeDirectory)
    };
    let Some(step) = step else { return Ok(()) };
    if step != Step::MakeDirectory {
        let cover = json!({"destination": DEV, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]});
        add_mount(spec, cover)?;
    }
    let args = json!([root_completion::NAME, bundle, step.word()]);
    spec["hooks"]["createContainer"] = json!([{"path": OURSELVES, "args": args}]);
    Ok(())
}

/// Whether anything is where libcontainer will make a node or a link.
fn clashes(spec: &Value, view: &View, root: &Path) -> bool {
    let devices = spec["linux"]["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = devices.iter().filter_map(|device| device["path"].as_str()).map(PathBuf::from);
    let links = LINKS.iter().chain([&PTMX]).map(|(name, _)| *name);
    let default = DEFAULT_DEVICES.iter().map(|(name, _)| *name).chain(links);
    let default = default.map(|name| Path::new(DEV).join(name));
    named.chain(default).any(|path| match view.place(&path) {
        Place::Bound(source, rest) => rest.as_os_str().is_empty() || exists(&source.join(rest)),
        Place::Fresh(rest) => rest.as_os_str().is_empty(),
        Place::Root(rest) => exists(&root.join(rest)),
    })
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether `/dev` is somebody else's with devices in it, where nothing is to be made. Without `/dev/null` libcontainer
/// starts nothing.
fn keeps_devices(mounts: &Value) -> bool {
    let mounts = mounts.as_array().map(Vec::as_slice).unwrap_or_default();
    let mount = mounts.iter().rev().find(|mount| destination(mount) == Path::new(DEV));
    let source = mount.and_then(|mount| match mount {
        mount if super::is_bind(mount) => mount["source"].as_str(),
        mount => (mount["type"] == "devtmpfs").then_some(DEV),
    });
    let is_null = |node: &Metadata| node.file_type().is_char_device() && node.rdev() == makedev(1, 3);
    source.is_some_and(|source| {
        fs::symlink_metadata(Path::new(source).join("null")).is_ok_and(|node| is_null(&node))
    })
}

/// Whether the working directory, which was made in the root before, does not exist where mounts lead it.
fn lacks_directory(process: &Value, view: &View, root: &Path) -> bool {
    let Ok(path) = view.real(Path::new(process["cwd"].as_str().unwrap_or("/"))) else { return false };
    let lacks = |base: &Path, rest: &Path| {
        !rest.as_os_str().is_empty() && guest_path::lacks_dir(base, rest).is_some()
    };
    match view.place(&path) {
        Place::Bound(source, rest) => lacks(&source, &rest),
        Place::Fresh(rest) => !rest.as_os_str().is_empty(),
        Place::Root(rest) => lacks(root, &rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last argument of the hook, and how many mounts there are.
    fn completed(mounts: &Value, cwd: &str, devices: &Value, root: &Path) -> (Option<String>, usize) {
        let mut spec = json!({"mounts": mounts, "process": {"cwd": cwd}, "linux": {"devices": devices}});
        complete(&mut spec, root, Path::new("/run/c")).unwrap();
        let hook = &spec["hooks"]["createContainer"][0];
        let step = hook["args"][2].as_str().map(str::to_owned);
        assert!(step.is_none() || hook["args"][1] == "/run/c");
        (step, spec["mounts"].as_array().unwrap().len())
    }

    #[test]
    fn only_what_needs_it_is_completed() {
        let root = std::env::temp_dir().join(format!("completion-{}", std::process::id()));
        fs::create_dir_all(root.join("srv")).unwrap();
        let dev = json!({"destination": "/dev", "type": "tmpfs"});
        let data = json!({"destination": "/data", "type": "tmpfs"});
        let bind = |source: &str, at: &str| json!({"destination": at, "type": "bind", "source": source});
        let fuse = json!([{"path": "/dev/fuse"}]);
        let none = Value::Null;
        for (mounts, cwd, devices, expected) in [
            (json!([dev, data]), "/srv", &fuse, (None, 2)),
            (json!([dev, data]), "/data", &none, (None, 2)),
            (json!([dev, bind("/dev/zero", "/dev/own/zero")]), "/", &fuse, (None, 2)),
            // The mount on `/dev` hides it.
            (json!([bind("/dev/zero", "/dev/null"), dev]), "/", &none, (None, 2)),
            (json!([dev, data]), "/data/app", &none, (Some("directory"), 2)),
            (json!([bind("/usr", "/data")]), "/data/bin", &none, (None, 1)),
            (json!([bind("/usr", "/data")]), "/data/no-such-directory", &none, (Some("directory"), 1)),
            (json!([dev, bind("/dev/zero", "/dev/null")]), "/", &none, (Some("devices"), 3)),
            (json!([dev, bind("/dev/fuse", "/dev/fuse")]), "/", &fuse, (Some("devices"), 3)),
            (json!([bind("/dev", "/dev")]), "/", &none, (Some("uncover"), 2)),
            (json!([bind("/usr", "/dev")]), "/", &none, (None, 1)),
        ] {
            let (step, count) = completed(&mounts, cwd, devices, &root);
            assert_eq!((step.as_deref(), count), expected, "{mounts} {cwd} {devices}");
        }
        fs::create_dir_all(root.join("dev")).unwrap();
        std::os::unix::fs::symlink("/proc/self/fd", root.join("dev/fd")).unwrap();
        assert_eq!(completed(&json!([data]), "/", &none, &root), (Some("devices".to_owned()), 2));
        assert_eq!(completed(&json!([dev]), "/", &none, &root), (None, 1));
        fs::remove_dir_all(root).unwrap();
    }
}
