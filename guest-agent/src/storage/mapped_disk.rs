//! `MappedVirtualDisk` (spec section 6.1).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread;
use std::time::Duration;

use lcow_protocol::settings::MappedVirtualDisk;
use nix::mount::MsFlags;

use super::device_mapper::{Name, Origin, Target};
use super::scsi::{self, Address};
use super::setup::{self, Kind, Mount, Setup};
use super::stack::Stack;
use super::verity::{self, Policy};
use super::{Error, Storage, blocking, filesystem};

/// A file system that is not there at once may come a moment later.
const SECOND_LOOK: Duration = Duration::from_millis(500);

impl Storage {
    /// Waits for the disk and mounts it, or links to it.
    pub(crate) async fn add_disk(&self, disk: MappedVirtualDisk) -> Result<(), Error> {
        let address = Address { controller: disk.controller, lun: disk.lun };
        let device = scsi::wait_for(address, disk.partition).await?;
        if disk.mount_path.is_empty() {
            return Ok(());
        }
        let target = setup::mount_path(&disk.mount_path)?;
        let (path, policy) = (target.clone(), self.verity.clone());
        let setup = blocking(move || set_up(device, &path, &disk, &policy)).await?;
        self.remember(target, setup);
        Ok(())
    }

    /// Takes down what was set up at the mount path.
    pub(crate) async fn remove_disk(&self, disk: MappedVirtualDisk) -> Result<(), Error> {
        if disk.mount_path.is_empty() {
            return Ok(());
        }
        let asked = if disk.block_dev { Kind::Linked } else { Kind::Mounted };
        self.take_down(setup::mount_path(&disk.mount_path)?, asked).await
    }
}

/// Everything after the disk is there. A failing step undoes those before it.
fn set_up(device: PathBuf, target: &Path, disk: &MappedVirtualDisk, policy: &Policy) -> Result<Setup, Error> {
    let origin = Origin::Scsi(Address { controller: disk.controller, lun: disk.lun }, disk.partition);
    let mut verified = false;
    let mut stack = Stack::on(device);
    if disk.encrypted {
        stack = encrypt(stack, &origin)?;
    } else if disk.read_only {
        let policy = if disk.block_dev { &Policy::default() } else { policy };
        (stack, verified) = verify(stack, &origin, policy)?;
    }
    let shown = if disk.block_dev {
        setup::link(stack.node(), target).map(|()| Kind::Linked)
    } else {
        mount(stack.node(), target, disk).map(|()| Kind::Mounted)
    };
    match shown {
        Ok(kind) => Ok(Setup::on(kind, stack, verified)),
        Err(error) => {
            stack.undo();
            Err(error)
        }
    }
}

/// Opens a read-only layer through dm-verity if it has a hash tree; tells whether it has.
pub(super) fn verify(stack: Stack, origin: &Origin, policy: &Policy) -> Result<(Stack, bool), Error> {
    let tree = match verity::tree_of(stack.node(), policy) {
        Ok(tree) => tree,
        Err(error) => {
            stack.undo();
            return Err(error);
        }
    };
    let Some(tree) = tree else { return Ok((stack, false)) };
    let name = Name::verity(origin, &tree.root.to_string())
        .ok_or_else(|| Error::Invalid(format!("{origin} has no name as a mapped device")))?;
    let target = Target::Verity { device: stack.node().to_owned(), tree };
    Ok((stack.push(name, &target)?, true))
}

/// Puts dm-crypt on a disk, with a key that nobody knows and that is gone with the device.
fn encrypt(stack: Stack, origin: &Origin) -> Result<Stack, Error> {
    let device = stack.node().to_owned();
    let name = Name::crypt(origin)
        .ok_or_else(|| Error::Invalid(format!("{origin} has no name as a mapped device")))?;
    let length_bytes = filesystem::size(&device)?;
    // Blocks until the kernel's generator has been seeded.
    let source = Path::new("/dev/random");
    let mut key = [0; 64];
    let mut random = File::open(source).map_err(Error::io("opening", source))?;
    random.read_exact(&mut key).map_err(Error::io("reading", source))?;
    let target = Target::Crypt { device, length_bytes, key };
    Ok(stack.push(name, &target)?)
}

fn mount(device: &Path, target: &Path, disk: &MappedVirtualDisk) -> Result<(), Error> {
    // What an encrypted disk showed before cannot be known; what it shows now is rubbish.
    let mut detected = if disk.encrypted { None } else { filesystem::detect(device)? };
    // A disk that is about to be formatted has nothing to wait for.
    if detected.is_none() && !disk.ensure_filesystem && !disk.encrypted {
        thread::sleep(SECOND_LOOK);
        detected = filesystem::detect(device)?;
    }
    let kind = match (wanted_filesystem(disk, detected), detected) {
        ("", None) => return Err(Error::UnknownFilesystem(device.to_owned())),
        ("", Some(kind)) | (kind, _) => kind,
    };
    if disk.ensure_filesystem && detected != Some(kind) {
        filesystem::format(device, kind)?;
    }
    let (flags, data) = if disk.read_only {
        (MsFlags::MS_RDONLY, filesystem::no_replay(kind))
    } else {
        (MsFlags::empty(), "")
    };
    Mount { kind, flags, data, options: &disk.options }.make(device, target)
}

/// Hosts ask for xfs on encrypted scratch disks, and may on others. What has it keeps it; ext4 is what we can make.
fn wanted_filesystem<'a>(disk: &'a MappedVirtualDisk, detected: Option<&str>) -> &'a str {
    static SAID: Once = Once::new();
    if disk.ensure_filesystem && disk.filesystem == "xfs" && detected != Some("xfs") {
        SAID.call_once(|| tracing::warn!("disks that are to have xfs get ext4 instead"));
        return "ext4";
    }
    &disk.filesystem
}
