//! A container of this process, from the taking of its name to its end.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use lcow_oci::Digest;

use super::record::{Record, State};
use super::{ContainerName, Containers, ContainersError, LOCK, RECORD, SCRATCH, remove_directory};
use crate::layers::DiskKey;
use crate::lock::Lock;

/// A container to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// 64 hexadecimal digits: [`random_id`].
    pub id: String,
    /// Its name; made up unless given.
    pub name: Option<ContainerName>,
    /// Its image.
    pub image: String,
    /// Digest of the image's manifest.
    pub image_digest: Option<Digest>,
    /// The disks of its layers.
    pub layers: Vec<DiskKey>,
    /// What it will run.
    pub command: Vec<String>,
    /// Whether it goes when it ends.
    pub remove_at_end: bool,
}

/// A name that is taken, and the directory that goes with it. Unless [`Reservation::exited`] is called for a container
/// that is to be kept, everything goes when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    containers: Containers,
    directory: PathBuf,
    record: Record,
    kept: bool,
    /// Present until the end.
    lock: Option<Lock>,
}

impl Reservation {
    /// The caller holds the lock of the list, and the name is free.
    pub(super) fn create(
        containers: Containers,
        directory: PathBuf,
        name: ContainerName,
        wanted: Wanted,
    ) -> Result<Self, ContainersError> {
        fs::create_dir(&directory).map_err(ContainersError::io("create", &directory))?;
        let path = directory.join(LOCK);
        let lock = Lock::wait(&path).map_err(ContainersError::io("lock", &path))?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let record = Record {
            id: wanted.id,
            name,
            image: wanted.image,
            image_digest: wanted.image_digest,
            layers: wanted.layers,
            command: wanted.command,
            created,
            remove_at_end: wanted.remove_at_end,
            state: State::Created,
        };
        // From here on dropping it cleans up; but that takes the lock which the caller holds.
        if let Err(error) = record.write(&directory.join(RECORD)) {
            // A directory without a record is removed with the next call if it is not now.
            let _ = remove_directory(&directory);
            return Err(error);
        }
        Ok(Self { containers, directory, record, kept: false, lock: Some(lock) })
    }

    /// Its name.
    pub fn name(&self) -> &ContainerName {
        &self.record.name
    }

    /// Where its scratch disk belongs.
    pub fn scratch(&self) -> PathBuf {
        self.directory.join(SCRATCH)
    }

    /// Notes that it has been started.
    pub fn running(&mut self) -> Result<(), ContainersError> {
        self.record.state = State::Running;
        self.record.write(&self.directory.join(RECORD))
    }

    /// Notes that it has ended. From now on it does not need this process.
    pub fn exited(mut self, status: u8) -> Result<(), ContainersError> {
        if self.record.remove_at_end {
            return Ok(());
        }
        self.kept = true;
        self.record.state = State::Exited { status };
        self.record.write(&self.directory.join(RECORD))
    }

    /// Goes away as a killed process does.
    #[cfg(test)]
    pub(super) fn vanish(mut self) {
        self.kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // With the list's lock: nobody may take the name while the directory goes. Without it the next command cleans up.
        if let Ok(_alone) = self.containers.lock() {
            drop(self.lock.take());
            if let Err(error) = remove_directory(&self.directory) {
                tracing::warn!(%error, "a container's directory stays");
            }
        }
    }
}

/// An id for a container.
pub fn random_id() -> Result<String, ContainersError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(ContainersError::Random)?;
    Ok(bytes.iter().fold(String::new(), |id, byte| format!("{id}{byte:02x}")))
}
