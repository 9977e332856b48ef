//! The settings of `ModifySettings`, one type per resource (spec section 6).

mod combined_layers;
mod container_constraints;
mod mapped_directory;
mod mapped_virtual_disk;
mod network;
mod scsi_device;
mod security_policy;
mod vpci_device;
mod vpmem_device;

pub use combined_layers::{CombinedLayers, Layer};
pub use container_constraints::ContainerConstraints;
pub use mapped_directory::MappedDirectory;
pub use mapped_virtual_disk::MappedVirtualDisk;
pub use network::{IpConfig, Network, Route};
pub use scsi_device::ScsiDevice;
pub use security_policy::{SecurityPolicy, SecurityPolicyFragment};
pub use vpci_device::VpciDevice;
pub use vpmem_device::{MappingInfo, VpmemDevice};
