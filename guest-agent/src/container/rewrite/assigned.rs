//! PCI devices that the host has assigned to a container (spec section 7.11).

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::{major, minor};
use serde_json::Value;
use tokio::time::Instant;

use super::devices;
use crate::container::Error;
use crate::storage;

const POLL: Duration = Duration::from_millis(500);
/// For all devices of a container together.
const PATIENCE: Duration = Duration::from_mins(1);

/// Adds the device nodes of what `windows.devices` names; returns where on the PCI bus its GPUs are.
pub(in crate::container) async fn assigned_devices(spec: &mut Value) -> Result<Vec<String>, Error> {
    let wanted = spec.pointer("/windows/devices").and_then(Value::as_array).cloned().unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    let mut gpus = Vec::new();
    for device in wanted {
        let (id, kind) =
            (device["id"].as_str().unwrap_or_default(), device["idType"].as_str().unwrap_or_default());
        match kind {
            "vpci-instance-id" | "vpci" => add(spec, id, deadline).await?,
            "gpu" => gpus.push(place(&storage::wait_for_pci_device(id).await?)),
            _ => tracing::warn!(id, kind, "an assigned device of an unknown type is left out"),
        }
    }
    Ok(gpus)
}

/// The last part of a PCI device's path says where it is.
fn place(device: &Path) -> String {
    device.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

async fn add(spec: &mut Value, id: &str, deadline: Instant) -> Result<(), Error> {
    let link = storage::wait_for_pci_device(id).await?;
    let device = fs::canonicalize(&link).map_err(Error::io("resolving", &link))?;
    loop {
        let found = nodes_of(&device, Path::new("/dev"), Path::new("/sys/dev"))?;
        if !found.is_empty() {
            return found.iter().try_for_each(|(path, metadata)| devices::add(spec, path, metadata));
        }
        if Instant::now() >= deadline {
            return Err(Error::Invalid(format!(
                "no device node of PCI device {id} after {} s",
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The nodes whose device is `device`, or below it.
fn nodes_of(device: &Path, dev: &Path, sys_dev: &Path) -> Result<Vec<(PathBuf, Metadata)>, Error> {
    let mut nodes = devices::nodes(dev)?;
    nodes.retain(|(_, metadata)| {
        let kind = if metadata.file_type().is_block_device() { "block" } else { "char" };
        let number = format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev()));
        fs::canonicalize(sys_dev.join(kind).join(number)).is_ok_and(|path| path.starts_with(device))
    });
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_are_found_by_their_device_in_sysfs() {
        let root = std::env::temp_dir().join(format!("assigned-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let device = root.join("devices/pci1234:00/1234:00:00.0");
        fs::create_dir_all(device.join("misc/null")).unwrap();
        fs::create_dir_all(root.join("dev/char")).unwrap();
        assert!(nodes_of(&device, Path::new("/dev"), &root.join("dev")).unwrap().is_empty());
        symlink(device.join("misc/null"), root.join("dev/char/1:3")).unwrap();
        let found = nodes_of(&device, Path::new("/dev"), &root.join("dev")).unwrap();
        assert_eq!(
            found.iter().map(|(path, _)| path.as_path()).collect::<Vec<_>>(),
            [Path::new("/dev/null")]
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn an_unknown_device_is_left_out() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut other = json!({"windows": {"devices": [{"id": "1", "idType": "tpm"}]}});
        assert_eq!(runtime.block_on(assigned_devices(&mut other)).unwrap(), Vec::<String>::new());
    }
}
