//! Layers as disks: the cache of read-only layer disks, scratch disks, and both of them in a utility VM.

mod attached;
mod cache;
mod requests;
mod rootfs;
mod scratch;

pub use attached::{AttachError, AttachedLayer, AttachedLayers, PlugError, UnplugError};
pub use cache::{CacheError, LayerCache};
pub use rootfs::{RootFs, RootFsError};
pub use scratch::{DEFAULT_SCRATCH_SIZE, ScratchError, create_scratch};

/// Most layers of an image: each takes a unit of the one SCSI controller, and the scratch disk needs the last.
pub const MAX_LAYERS: usize = crate::vmm::config::LUNS as usize - 1;
