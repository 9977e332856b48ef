//! Layers as disks: the cache of read-only layer disks, scratch disks, and both of them in a utility VM.

mod attached;
mod cache;
mod requests;
mod rootfs;
mod scratch;

pub use attached::{AttachError, AttachedLayer, AttachedLayers, PlugError, UnplugError};
pub use cache::{CacheError, DiskKey, DiskUse, FreedDisks, LayerCache};
pub use rootfs::{RootFs, RootFsError};
pub use scratch::{DEFAULT_SCRATCH_SIZE, ScratchError, create_scratch};

/// Most layer disks of a container: each takes a unit of the one SCSI controller, and the scratch disk needs the last. The
/// layers of images with more are merged into one disk.
pub const MAX_LAYERS: usize = crate::vmm::config::LUNS as usize - 1;
