//! Names of layer disks.

use std::fmt;

use lcow_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::layers::MAX_LAYERS;

/// Part of every name: disks of another version are made anew.
const FORMAT_VERSION: u32 = 2;
/// The same for merged layers.
const STACK_VERSION: u32 = 3;

/// Which disk: the content it was made of and the version of its format. It is also the start of files' names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DiskKey(String);

impl DiskKey {
    /// The disk of one layer.
    pub(super) fn layer(diff_id: &Digest) -> Self {
        Self(format!("{}.v{FORMAT_VERSION}", diff_id.hex()))
    }

    /// The disk of several layers, merged.
    pub(super) fn stack(diff_ids: &[Digest]) -> Self {
        let all: Vec<String> = diff_ids.iter().map(Digest::to_string).collect();
        Self(format!("stack-{}.v{STACK_VERSION}", Digest::of(all.join("\n").as_bytes()).hex()))
    }

    /// The disks of an image with these layers, lowest first: one for each layer, or one for all of them if a utility VM
    /// does not have as many units.
    pub fn of_image(diff_ids: &[Digest]) -> Vec<Self> {
        if diff_ids.len() > MAX_LAYERS {
            vec![Self::stack(diff_ids)]
        } else {
            diff_ids.iter().map(Self::layer).collect()
        }
    }

    /// The start of its files' names.
    pub(super) fn stem(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DiskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
