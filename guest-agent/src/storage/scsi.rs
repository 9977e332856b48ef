//! Finds SCSI disks by controller and LUN, never by name (spec section 6.1).
//!
//! On Hyper-V a controller is a VMBus device with a fixed id; elsewhere it is the n-th SCSI host in PCI order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::Error;

/// VMBus ids of the controllers, by index.
const CONTROLLERS: [&str; 4] = [
    "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
    "0110f83b-de10-5172-a266-78bca56bf50a",
    "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
    "305891a9-b251-5dfe-91a2-c25d9212275b",
];
/// Emulated disk controllers of a machine, which are no SCSI controllers to the host.
const ATA_DRIVERS: [&str; 3] = ["ahci", "ata_piix", "ata_generic"];

const POLL: Duration = Duration::from_millis(10);
/// How long a disk may take to show up. Hosts give up after five minutes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Controller index.
    pub(crate) controller: u8,
    /// LUN.
    pub(crate) lun: u8,
}

/// The device tree to look in; tests have one of their own.
pub(super) struct Sysfs(PathBuf);

impl Default for Sysfs {
    fn default() -> Self {
        Self(PathBuf::from("/sys"))
    }
}

impl Sysfs {
    /// The number of the SCSI host that is the host's controller `index`.
    fn host_number(&self, index: u8) -> Result<u32, Error> {
        let id = CONTROLLERS.get(usize::from(index)).ok_or(Error::NoController(index))?;
        let vmbus = self.0.join("bus/vmbus/devices");
        if vmbus.is_dir() {
            let entries = fs::read_dir(vmbus.join(id)).map_err(|_| Error::NoController(index))?;
            let mut numbers =
                entries.flatten().filter_map(|entry| host_suffix(&entry.file_name().to_string_lossy()));
            return numbers.next().ok_or(Error::NoController(index));
        }
        let hosts = self.scsi_hosts().unwrap_or_default();
        hosts.get(usize::from(index)).copied().ok_or(Error::NoController(index))
    }

    /// Numbers of the SCSI hosts in the order of their places on the bus.
    fn scsi_hosts(&self) -> io::Result<Vec<u32>> {
        let mut hosts = Vec::new();
        for entry in fs::read_dir(self.0.join("class/scsi_host"))?.flatten() {
            let Some(number) = host_suffix(&entry.file_name().to_string_lossy()) else { continue };
            let driver = fs::read_to_string(entry.path().join("proc_name")).unwrap_or_default();
            if !ATA_DRIVERS.contains(&driver.trim()) {
                hosts.push((fs::canonicalize(entry.path()).unwrap_or_default(), number));
            }
        }
        hosts.sort();
        Ok(hosts.into_iter().map(|(_, number)| number).collect())
    }

    fn device(&self, address: Address) -> Result<PathBuf, Error> {
        let host = self.host_number(address.controller)?;
        Ok(self.0.join(format!("bus/scsi/devices/{host}:0:0:{}", address.lun)))
    }

    /// The kernel's name of the disk, if it is there.
    fn disk_name(&self, address: Address) -> Result<Option<String>, Error> {
        let block = self.device(address)?.join("block");
        let Ok(entries) = fs::read_dir(&block) else { return Ok(None) };
        let names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        match &names[..] {
            [] => Ok(None),
            [name] => Ok(Some(name.clone())),
            _ => Err(Error::Invalid(format!("several block devices in {}", block.display()))),
        }
    }

    /// The name of the disk or partition, if it is there.
    fn block_name(&self, address: Address, partition: u64) -> Result<Option<String>, Error> {
        let Some(disk) = self.disk_name(address)? else { return Ok(None) };
        if partition == 0 {
            return Ok(Some(disk));
        }
        let name = format!("{disk}{partition}");
        let path = self.device(address)?.join("block").join(&disk).join(&name);
        Ok(path.exists().then_some(name))
    }
}

fn host_suffix(name: &str) -> Option<u32> {
    name.strip_prefix("host")?.parse().ok()
}

/// Waits for a disk, or a partition of it unless 0, and returns its device node.
pub(super) async fn wait_for(address: Address, partition: u64) -> Result<PathBuf, Error> {
    let sysfs = Sysfs::default();
    let deadline = Instant::now() + PATIENCE;
    super::machine_prepared().await;
    loop {
        let name = match sysfs.block_name(address, partition) {
            // A driver may still be looking at its hardware.
            Err(Error::NoController(index))
                if usize::from(index) < CONTROLLERS.len() && Instant::now() < deadline =>
            {
                None
            }
            other => other?,
        };
        if let Some(name) = name {
            let path = Path::new("/dev").join(name);
            let node = path.clone();
            if super::blocking(move || can_be_opened(&node)).await? {
                return Ok(path);
            }
        }
        if Instant::now() >= deadline {
            let Address { controller, lun } = address;
            return Err(Error::NoDisk { controller, lun, seconds: PATIENCE.as_secs() });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether the device is there yet; opening it may take as long as the disk likes.
fn can_be_opened(node: &Path) -> Result<bool, Error> {
    match fs::File::open(node) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO)) => Ok(false),
        Err(error) => Err(Error::io("opening", node)(error)),
    }
}

/// Lets go of a disk that the host is about to take away. One that is gone is fine.
pub(super) fn unplug(address: Address) -> Result<(), Error> {
    let path = Sysfs::default().device(address)?.join("delete");
    match fs::write(&path, "1\n") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("writing", &path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str) -> (Sysfs, PathBuf) {
        let root = std::env::temp_dir().join(format!("sysfs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        (Sysfs(root.clone()), root)
    }

    #[test]
    fn on_hyper_v_the_controllers_id_leads_to_its_host() {
        let (sysfs, root) = tree("hyperv");
        fs::create_dir_all(root.join("bus/vmbus/devices").join(CONTROLLERS[1]).join("host3")).unwrap();
        assert_eq!(sysfs.host_number(1).unwrap(), 3);
        for missing in [0, 2, 4, 255] {
            assert!(matches!(sysfs.host_number(missing), Err(Error::NoController(_))), "{missing}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn elsewhere_hosts_count_in_bus_order_without_ata() {
        let (sysfs, root) = tree("pci");
        let class = root.join("class/scsi_host");
        fs::create_dir_all(&class).unwrap();
        for (host, place, driver) in
            [(0, "00:1f.2", "ahci"), (1, "00:05.0", "virtio_scsi"), (2, "00:04.0", "virtio_scsi")]
        {
            let device = root.join(format!("devices/{place}/host{host}"));
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("proc_name"), format!("{driver}\n")).unwrap();
            std::os::unix::fs::symlink(&device, class.join(format!("host{host}"))).unwrap();
        }
        assert_eq!((sysfs.host_number(0).unwrap(), sysfs.host_number(1).unwrap()), (2, 1));
        assert!(sysfs.host_number(2).is_err());
        let block = root.join("bus/scsi/devices/2:0:0:7/block/sdq/sdq3");
        fs::create_dir_all(&block).unwrap();
        let address = Address { controller: 0, lun: 7 };
        assert_eq!(sysfs.block_name(address, 0).unwrap().as_deref(), Some("sdq"));
        assert_eq!(sysfs.block_name(address, 3).unwrap().as_deref(), Some("sdq3"));
        assert_eq!(sysfs.block_name(address, 1).unwrap(), None);
        assert_eq!(sysfs.block_name(Address { controller: 0, lun: 8 }, 0).unwrap(), None);
        fs::remove_dir_all(root).unwrap();
    }
}
