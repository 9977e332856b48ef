//! All layers of an image as one tar stream, whiteouts applied: what a container's root would hold.
//!
//! The layers are read twice: once for their names, to find out what survives, and once for what is in them. So memory is
//! bounded by names, whatever the files' sizes. Entries are passed on as they are, from the lowest layer up; a directory that
//! several layers have comes several times, the last one counts. A hard link whose target does not survive takes its place. A
//! name that goes through a link of its own layer becomes the one where that leads: a higher layer may hide the link.
//! The stream is for [`lcow_disk::tar::Reader`]: a name that had to be changed comes as a second PAX header.
mod emit;
mod names;
mod plan;

use std::io::{self, Read};

use crate::pipe::PipeReader;
use crate::store::{Image, Store, StoreError};
use plan::Plan;

/// The merged layers of an image. Every layer's content is checked while it is read: what was read is to be trusted once
/// `read` has returned 0.
pub struct Merged {
    inner: PipeReader,
}

impl Store {
    /// All layers of an image, merged. Reads all of them once before it returns.
    pub fn merged(&self, image: &Image) -> Result<Merged, StoreError> {
        let mut plan = Plan::default();
        for at in 0..image.manifest.layers.len() {
            let tar = self.open_layer(image, at)?;
            let digest = image.manifest.layers[at].digest;
            plan.layer(tar).map_err(|source| StoreError::Tar { digest, source })?;
        }
        let inner = emit::start(self.clone(), image.clone(), plan.finish());
        let inner = inner.map_err(StoreError::io("starting a thread for", self.root()))?;
        Ok(Merged { inner })
    }
}

impl Read for Merged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl std::fmt::Debug for Merged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merged").finish_non_exhaustive()
    }
}
