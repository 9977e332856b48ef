//! From an adapter's id to its interface (spec section 10.1): by its VMBus device on Hyper-V, elsewhere by its
//! hardware address.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lcow_protocol::settings::Network;
use tokio::time::Instant;

use super::Error;
use crate::storage;

const POLL: Duration = Duration::from_millis(10);
/// How long an adapter may take to show up (spec section 10.1).
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of the interface of an adapter, once it is there.
pub(super) async fn find(settings: &Network) -> Result<String, Error> {
    let id = settings.id.to_ascii_lowercase();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(Error::Invalid(format!("{:?} is no id of a network adapter", settings.id)));
    }
    // The driver may be one of the modules that PID 1 still loads.
    storage::machine_prepared().await;
    let device = if settings.vpci_assigned { Some(storage::wait_for_pci_device(&id).await?) } else { None };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = match &device {
            Some(device) => only_entry(&device.join("net")),
            None => look(Path::new("/sys"), &id, &settings.mac_address),
        };
        match found {
            Ok(name) => return Ok(name),
            Err(reason) if Instant::now() >= deadline => return Err(Error::NoInterface { id, reason }),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// One look; otherwise what is missing.
fn look(sysfs: &Path, id: &str, mac: &str) -> Result<String, String> {
    if sysfs.join("bus/vmbus").exists() {
        return only_entry(&sysfs.join("bus/vmbus/devices").join(id).join("net"));
    }
    let wanted = mac.replace('-', ":").to_ascii_lowercase();
    if wanted.is_empty() {
        return Err("there is no VMBus, and the host named no hardware address".to_owned());
    }
    let class = sysfs.join("class/net");
    let entries = fs::read_dir(&class).map_err(|error| format!("{}: {error}", class.display()))?;
    let has = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("address")).is_ok_and(|address| address.trim() == wanted)
    };
    let mut found =
        entries.flatten().filter(has).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let first = found.next().ok_or_else(|| format!("no interface has the address {wanted}"))?;
    if found.next().is_some() {
        Err(format!("several interfaces have the address {wanted}"))
    } else {
        Ok(first)
    }
}

fn only_entry(directory: &Path) -> Result<String, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(format!("{} is empty", directory.display())),
        _ => Err(format!("several entries in {}", directory.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "9a5e0b7c-0000-4000-8000-000000000001";

    fn sysfs(name: &str) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("adapter-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        root
    }

    #[test]
    fn on_hyper_v_the_vmbus_device_tells() {
        let root = sysfs("vmbus");
        fs::create_dir_all(root.join("bus/vmbus/devices")).unwrap();
        let eth = root.join("class/net/eth0");
        fs::create_dir_all(&eth).unwrap();
        fs::write(eth.join("address"), "00:15:5d:aa:bb:cc\n").unwrap();
        let mac = "00-15-5D-AA-BB-CC";
        assert!(look(&root, ID, mac).is_err(), "the address must not be a way round the id");
        let net = root.join("bus/vmbus/devices").join(ID).join("net");
        fs::create_dir_all(&net).unwrap();
        assert!(look(&root, ID, mac).is_err());
        fs::create_dir_all(net.join("eth7")).unwrap();
        assert_eq!(look(&root, ID, mac), Ok("eth7".to_owned()));
        fs::create_dir_all(net.join("eth8")).unwrap();
        assert!(look(&root, ID, mac).is_err());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn elsewhere_the_hardware_address_tells() {
        let root = sysfs("mac");
        for (name, address) in
            [("lo", "00:00:00:00:00:00"), ("eth0", "00:15:5d:00:00:01"), ("eth1", "00:15:5d:00:00:02")]
        {
            fs::create_dir_all(root.join("class/net").join(name)).unwrap();
            fs::write(root.join("class/net").join(name).join("address"), format!("{address}\n")).unwrap();
        }
        assert_eq!(look(&root, ID, "00-15-5D-00-00-02"), Ok("eth1".to_owned()));
        assert!(look(&root, ID, "00-15-5D-00-00-03").is_err());
        assert!(look(&root, ID, "").is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
