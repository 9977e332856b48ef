//! Mapped devices on top of each other, from the disk up to what is mounted.

use std::path::{Path, PathBuf};

use super::device_mapper::{self, Name, Target};

/// The uppermost device, and what was made below it.
#[derive(Debug)]
pub(super) struct Stack {
    node: PathBuf,
    /// From the disk upwards.
    devices: Vec<Name>,
}

impl Stack {
    /// Nothing but the disk itself.
    pub(super) fn on(disk: PathBuf) -> Self {
        Self { node: disk, devices: Vec::new() }
    }

    /// The node of the uppermost device.
    pub(super) fn node(&self) -> &Path {
        &self.node
    }

    /// Puts a device on top. On failure everything so far is removed.
    pub(super) fn push(self, name: Name, target: &Target) -> Result<Self, device_mapper::Error> {
        match device_mapper::create(&name, target) {
            Ok(node) => {
                let mut devices = self.devices;
                devices.push(name);
                Ok(Self { node, devices })
            }
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// Removes all devices again, because what they were made for has failed, which is the error to report.
    pub(super) fn undo(self) {
        for name in self.devices.iter().rev() {
            if let Err(error) = device_mapper::remove(name) {
                tracing::warn!(error = &error as &dyn std::error::Error, "a mapped device is left behind");
            }
        }
    }

    /// What is to be removed later, from the disk upwards.
    pub(super) fn into_devices(self) -> Vec<Name> {
        self.devices
    }
}
