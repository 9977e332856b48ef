//! `VPCIDevice` (spec section 6.7): waits until an assigned PCI device is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::Error;

const POLL: Duration = Duration::from_millis(10);
/// How long a device may take to show up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the device behind the VMBus device `id`; returns its directory in sysfs.
pub(crate) async fn wait_for(id: &str) -> Result<PathBuf, Error> {
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !plain {
        return Err(Error::Invalid(format!("{id:?} is no id of a VMBus device")));
    }
    let bus = Path::new("/sys/bus/vmbus/devices").join(id.to_ascii_lowercase());
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(device) = find(&bus)? {
            return Ok(device);
        }
        if Instant::now() >= deadline {
            return Err(Error::NoPciDevice { id: id.to_owned(), seconds: PATIENCE.as_secs() });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The device: `pciDDDD:BB` below the VMBus device, and `DDDD:BB…` below that.
fn find(bus: &Path) -> Result<Option<PathBuf>, Error> {
    let Some(root) = only_match(bus, "pci")? else { return Ok(None) };
    let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    only_match(&root, name.trim_start_matches("pci"))
}

fn only_match(directory: &Path, prefix: &str) -> Result<Option<PathBuf>, Error> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(None) };
    let mut found = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let first = found.next().map(|entry| entry.path());
    if found.next().is_some() {
        return Err(Error::Invalid(format!("several entries {prefix}* in {}", directory.display())));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_there_when_its_function_is() {
        let root = std::env::temp_dir().join(format!("vpci-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        assert!(find(&root).unwrap().is_none());
        fs::create_dir_all(root.join("pci1234:00")).unwrap();
        fs::create_dir_all(root.join("driver")).unwrap();
        assert!(find(&root).unwrap().is_none());
        let device = root.join("pci1234:00/1234:00:02.0");
        fs::create_dir_all(&device).unwrap();
        assert_eq!(find(&root).unwrap(), Some(device));
        fs::create_dir_all(root.join("pci1234:00/1234:00:03.0")).unwrap();
        assert!(find(&root).is_err(), "two functions");
        fs::create_dir_all(root.join("pci4321:00")).unwrap();
        assert!(find(&root).is_err(), "two buses");
        fs::remove_dir_all(root).unwrap();
    }
}
