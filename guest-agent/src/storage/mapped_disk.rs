//! `MappedVirtualDisk` (spec section 6.1).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcow_protocol::settings::MappedVirtualDisk;
use nix::mount::MsFlags;

use super::scsi::{self, Address};
use super::{Error, Storage, blocking, filesystem, mounts};

/// A file system that is not there at once may come a moment later.
const SECOND_LOOK: Duration = Duration::from_millis(500);
/// Mode of the directories that are made for mount points.
const MODE: u32 = 0o700;

/// What was set up at a mount path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// A mounted file system.
    Mounted,
    /// A link to the block device.
    Linked,
}

impl Storage {
    /// Waits for the disk and mounts it, or links to it.
    pub(crate) async fn add_disk(&self, disk: MappedVirtualDisk) -> Result<(), Error> {
        if disk.encrypted {
            return Err(Error::Invalid("encrypted disks are not supported by this agent".to_owned()));
        }
        let address = Address { controller: disk.controller, lun: disk.lun };
        let device = scsi::wait_for(address, disk.partition).await?;
        if disk.mount_path.is_empty() {
            return Ok(());
        }
        let target = mount_path(&disk.mount_path)?;
        let setup = if disk.block_dev {
            link(&device, &target)?;
            Setup::Linked
        } else {
            mount_disk(device, target.clone(), disk).await?;
            Setup::Mounted
        };
        self.disks.borrow_mut().insert(target, setup);
        Ok(())
    }

    /// Takes down what was set up at the mount path.
    pub(crate) async fn remove_disk(&self, disk: MappedVirtualDisk) -> Result<(), Error> {
        if disk.mount_path.is_empty() {
            return Ok(());
        }
        let target = mount_path(&disk.mount_path)?;
        let remembered = self.disks.borrow().get(&target).copied();
        let asked = if disk.block_dev { Setup::Linked } else { Setup::Mounted };
        match remembered.unwrap_or(asked) {
            Setup::Linked => remove_link(&target)?,
            Setup::Mounted => {
                let target = target.clone();
                blocking(move || mounts::unmount_and_remove(&target)).await?;
            }
        }
        self.disks.borrow_mut().remove(&target);
        Ok(())
    }
}

fn mount_path(text: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(text);
    let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if path.is_absolute() && plain && path != Path::new("/") {
        Ok(path)
    } else {
        Err(Error::Invalid(format!("MountPath {text:?} is not an absolute path")))
    }
}

fn link(device: &Path, target: &Path) -> Result<(), Error> {
    if let Some(parent) = target.parent() {
        mounts::create_directory(parent, MODE)?;
    }
    symlink(device, target).map_err(Error::io("linking", target))
}

fn remove_link(target: &Path) -> Result<(), Error> {
    match fs::remove_file(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", target)(error)),
        _ => Ok(()),
    }
}

async fn mount_disk(device: PathBuf, target: PathBuf, disk: MappedVirtualDisk) -> Result<(), Error> {
    let mut detected = filesystem::detect(&device)?;
    // A disk that is about to be formatted has nothing to wait for.
    if detected.is_none() && !disk.ensure_filesystem {
        tokio::time::sleep(SECOND_LOOK).await;
        detected = filesystem::detect(&device)?;
    }
    let kind = match (disk.filesystem.as_str(), detected) {
        ("", None) => return Err(Error::UnknownFilesystem(device)),
        ("", Some(kind)) | (kind, _) => kind.to_owned(),
    };
    blocking(move || {
        if disk.ensure_filesystem && detected != Some(kind.as_str()) {
            filesystem::format(&device, &kind)?;
        }
        let existed = target.is_dir();
        mounts::create_directory(&target, MODE)?;
        let (flags, data) =
            if disk.read_only { (MsFlags::MS_RDONLY, "noload") } else { (MsFlags::empty(), "") };
        let mounted = mounts::mount(&device, &target, &kind, flags, data).and_then(|()| {
            mounts::propagate(&target, &disk.options).inspect_err(|_| drop(mounts::unmount(&target)))
        });
        if mounted.is_err() && !existed {
            // The mount's own error is what matters.
            let _ = fs::remove_dir(&target);
        }
        mounted
    })
    .await
}
