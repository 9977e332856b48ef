//! The Host Compute Service back end: not written yet, and every entry says so.

use crate::vmm::{Console, Disk, Exit, Lun, MachineConfig, Vmm, VmmError};

const MISSING: VmmError = VmmError::Unavailable {
    missing: "the Host Compute Service (computecore.dll) back end is not written yet",
};

/// A machine of the Host Compute Service. Cannot exist yet.
#[derive(Debug)]
pub struct Hcs(std::convert::Infallible);

impl Vmm for Hcs {
    async fn start(_config: MachineConfig) -> Result<Self, VmmError> {
        Err(MISSING)
    }

    async fn attach_disk(&self, _lun: Lun, _disk: &Disk) -> Result<(), VmmError> {
        match self.0 {}
    }

    async fn detach_disk(&self, _lun: Lun) -> Result<(), VmmError> {
        match self.0 {}
    }

    async fn add_memory(&self, _mib: u32) -> Result<(), VmmError> {
        match self.0 {}
    }

    fn console(&self) -> &Console {
        match self.0 {}
    }

    async fn stop(&self) {
        match self.0 {}
    }

    async fn kill(&self) {
        match self.0 {}
    }

    async fn ended(&self) -> Exit {
        match self.0 {}
    }
}
