//! A layer as the tar stream that its image promises.
use std::fmt;
use std::io::{self, Read};

use crate::digest::Hashed;
use crate::pipe::{PipeReader, read_ahead};
use crate::{Compression, Digest};

/// Why a layer cannot be read to its end. It travels inside [`io::Error`]; every message names the layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The stored blob cannot be read or unpacked.
    #[error("layer {digest} is damaged")]
    Damaged {
        /// Digest of the stored blob.
        digest: Digest,
        /// What the reader or the decompressor says.
        #[source]
        source: io::Error,
    },
    /// The unpacked stream is not the one the image was made of.
    #[error("layer {digest} is damaged: its content is {found}, the image config has {expected}")]
    Content {
        /// Digest of the stored blob.
        digest: Digest,
        /// From `rootfs.diff_ids`.
        expected: Digest,
        /// Of the stream.
        found: Digest,
    },
}

/// An unpacked layer. Its content is checked when the end is reached: until `read` has returned 0, what was read is not
/// to be trusted. Unpacking and hashing happen in threads of their own, a few pieces ahead.
pub struct LayerReader {
    checked: PipeReader,
    digest: Digest,
}

impl LayerReader {
    /// Unpack `blob`, whose digest is `digest`, expecting the content `diff_id`.
    pub fn new(
        blob: impl Read + Send + 'static,
        compression: Compression,
        digest: Digest,
        diff_id: Digest,
    ) -> Result<Self, LayerError> {
        let damaged = |source| LayerError::Damaged { digest, source };
        let unpacked = compression.reader(blob).and_then(read_ahead).map_err(damaged)?;
        let checked = Checked { inner: Hashed::new(unpacked), digest, diff_id };
        Ok(Self { checked: read_ahead(checked).map_err(damaged)?, digest })
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() { Ok(0) } else { self.checked.read(buffer) }
    }
}

impl fmt::Debug for LayerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerReader").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Compares what has passed through it with what was promised.
struct Checked {
    inner: Hashed<PipeReader>,
    digest: Digest,
    diff_id: Digest,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let digest = self.digest;
        let count = self.inner.read(buffer).map_err(|source| match source.kind() {
            io::ErrorKind::Interrupted => source,
            _ => io::Error::other(LayerError::Damaged { digest, source }),
        })?;
        if count == 0 {
            let (expected, found) = (self.diff_id, self.inner.digest());
            if found != expected {
                return Err(io::Error::other(LayerError::Content { digest, expected, found }));
            }
        }
        Ok(count)
    }
}
