//! Mount sources and destinations with a prefix (spec section 7.6, step 3).

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::{Value, json};

use super::{allow, below, list};
use crate::container::Error;
use crate::container::pods::{HUGE_PAGES, SHARED, SHARED_MEMORY};
use crate::storage;

/// From a prefix and the pod's root to a path in the VM.
type Resolve = fn(&Path, &str) -> Result<String, Error>;

const SOURCES: &[(&str, Resolve)] = &[
    ("sandbox://", |root, path| shared(&root.join(SHARED), path)),
    ("sandbox-tmp://", |root, path| shared(&root.join(SHARED_MEMORY), path)),
    ("hugepages://", |root, path| huge_pages(&root.join(HUGE_PAGES), path)),
    ("uvm://", |_, path| existing(path)),
];
const BLOCK_DEVICE: &str = "blockdev://";

/// Replaces every prefixed source and destination; `root` is the pod's.
pub(in crate::container) fn mounts(spec: &mut Value, root: &Path) -> Result<(), Error> {
    let mut rules = Vec::new();
    for mount in list(spec, &[], "mounts")? {
        let source = mount["source"].as_str().unwrap_or_default();
        let known =
            SOURCES.iter().find_map(|(prefix, resolve)| Some((resolve, source.strip_prefix(prefix)?)));
        if let Some((resolve, path)) = known {
            let path = resolve(root, path)?;
            mount["source"] = path.into();
        }
        let destination = mount["destination"].as_str().and_then(|text| text.strip_prefix(BLOCK_DEVICE));
        if let Some(path) = destination.map(str::to_owned) {
            rules.push(device_rule(mount)?);
            mount["destination"] = path.into();
        }
    }
    rules.into_iter().try_for_each(|rule| allow(spec, rule))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn shared(base: &Path, path: &str) -> Result<String, Error> {
    let path = below(base, path)?;
    storage::create_open_directory(&path)?;
    Ok(text(&path))
}

/// The path begins with the size of a page.
fn huge_pages(base: &Path, path: &str) -> Result<String, Error> {
    let size = path.split('/').next().unwrap_or_default();
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && size.len() - digits.len() <= 2;
    if !plain {
        return Err(Error::Invalid(format!("hugepages://{path} names no size of a page")));
    }
    let path = below(&base.join(size), path.strip_prefix(size).unwrap_or_default())?;
    storage::share_huge_pages(&path, size)?;
    Ok(text(&path))
}

fn existing(path: &str) -> Result<String, Error> {
    fs::metadata(path).map_err(Error::io("looking for", Path::new(path)))?;
    Ok(path.to_owned())
}

/// The rule without which a block device could be seen and not used.
fn device_rule(mount: &Value) -> Result<Value, Error> {
    let source = Path::new(mount["source"].as_str().unwrap_or_default());
    let metadata = fs::metadata(source).map_err(Error::io("looking for", source))?;
    let kind = match metadata.file_type() {
        kind if kind.is_block_device() => "b",
        kind if kind.is_char_device() => "c",
        _ => return Err(Error::Invalid(format!("{} is no device", source.display()))),
    };
    let read_only =
        mount["options"].as_array().is_some_and(|options| options.iter().any(|word| word == "ro"));
    let access = if read_only { "r" } else { "rwm" };
    let (major, minor) = (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()));
    Ok(json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": access}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_become_paths_of_the_pod() {
        let root = std::env::temp_dir().join(format!("mounts-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        std::os::unix::fs::symlink("/dev/null", root.join("disk")).unwrap();
        let mut spec = json!({"mounts": [
            {"destination": "/data", "source": "sandbox://shared/data", "options": ["rbind"]},
            {"destination": "/t", "source": "sandbox-tmp:///t"},
            {"destination": "/h", "source": "uvm:///etc"},
            {"destination": "/p", "source": "/plain"},
            {"destination": "blockdev:///dev/disk", "source": root.join("disk"), "options": ["ro"]},
        ]});
        mounts(&mut spec, &root).unwrap();
        let field = |name: &str| -> Vec<String> {
            spec["mounts"].as_array().unwrap().iter().map(|m| m[name].as_str().unwrap().to_owned()).collect()
        };
        let in_root = |path: &str| root.join(path).to_string_lossy().into_owned();
        let sources = [
            in_root("sandboxMounts/shared/data"),
            in_root("sandboxTmpfsMounts/t"),
            "/etc".into(),
            "/plain".into(),
            in_root("disk"),
        ];
        assert_eq!(field("source"), sources);
        assert_eq!(field("destination"), ["/data", "/t", "/h", "/p", "/dev/disk"]);
        let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"});
        assert_eq!(spec["linux"]["resources"]["devices"], json!([rule]));
        assert_eq!(fs::metadata(&sources[0]).unwrap().mode() & 0o7777, 0o777);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn sources_outside_and_missing_ones_are_refused() {
        let root = Path::new("/nonexistent-root");
        for source in [
            "sandbox://../x",
            "sandbox-tmp://a/../../x",
            "hugepages://x/y",
            "hugepages://2M/../../y",
            "uvm:///no/such/file",
        ] {
            let mut spec = json!({"mounts": [{"destination": "/x", "source": source}]});
            assert!(mounts(&mut spec, root).is_err(), "{source}");
        }
        let mut spec = json!({"mounts": [{"destination": "blockdev:///dev/x", "source": "/etc/passwd"}]});
        assert!(mounts(&mut spec, root).is_err());
    }
}
