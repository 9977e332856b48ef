//! `VPMemDevice` (spec section 6.4): layers in persistent memory, several on one device if need be.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcow_protocol::settings::{MappingInfo, VpmemDevice};
use tokio::time::Instant;

use super::device_mapper::{Name, Origin, Target};
use super::mapped_disk::verify;
use super::setup::{self, Kind, Mount, Setup};
use super::stack::Stack;
use super::verity::Policy;
use super::{Error, Storage, blocking};

const POLL: Duration = Duration::from_millis(10);
/// How long a device may take to show up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Parts begin and end at sectors.
const SECTOR: u64 = 512;

impl Storage {
    /// Mounts a layer.
    pub(crate) async fn add_pmem(&self, layer: VpmemDevice) -> Result<(), Error> {
        let target = setup::mount_path(&layer.mount_path)?;
        let device = wait_for(layer.device_number).await?;
        let (path, policy) = (target.clone(), self.verity.clone());
        let setup = blocking(move || set_up(device, &path, &layer, &policy)).await?;
        self.remember(target, setup);
        Ok(())
    }

    /// Unmounts a layer.
    pub(crate) async fn remove_pmem(&self, layer: VpmemDevice) -> Result<(), Error> {
        self.take_down(setup::mount_path(&layer.mount_path)?, Kind::Mounted).await
    }
}

/// Waits for the device, whose driver may still be loading.
async fn wait_for(number: u32) -> Result<PathBuf, Error> {
    let node = PathBuf::from(format!("/dev/pmem{number}"));
    let deadline = Instant::now() + PATIENCE;
    super::machine_prepared().await;
    while !node.exists() {
        if Instant::now() >= deadline {
            return Err(Error::io("waiting for", &node)(io::ErrorKind::TimedOut.into()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(node)
}

fn set_up(device: PathBuf, target: &Path, layer: &VpmemDevice, policy: &Policy) -> Result<Setup, Error> {
    let part = layer.mapping_info.map(|part| (part.device_offset_in_bytes, part.device_size_in_bytes));
    let origin = Origin::Pmem(layer.device_number, part);
    let mut stack = Stack::on(device);
    if let Some(part) = layer.mapping_info {
        stack = map_part(stack, layer.device_number, part)?;
    }
    let (stack, verified) = verify(stack, &origin, policy)?;
    match Mount::read_only("ext4").make(stack.node(), target) {
        Ok(()) => Ok(Setup::on(Kind::Mounted, stack, verified)),
        Err(error) => {
            stack.undo();
            Err(error)
        }
    }
}

fn map_part(stack: Stack, number: u32, part: MappingInfo) -> Result<Stack, Error> {
    let MappingInfo { device_offset_in_bytes: offset, device_size_in_bytes: size } = part;
    let whole = size > 0 && offset.is_multiple_of(SECTOR) && size.is_multiple_of(SECTOR);
    let name = Name::linear(number, offset, size)
        .filter(|_| whole)
        .ok_or_else(|| Error::Invalid(format!("{size} bytes at {offset} are no part of a device")))?;
    let target = Target::Linear { device: stack.node().to_owned(), offset_bytes: offset, length_bytes: size };
    Ok(stack.push(name, &target)?)
}
