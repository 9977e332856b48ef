//! The layers of an image: several at once, each into the store and, at the same time, into whatever is made of it.
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::super::blob::BlobReader;
use super::super::{PullError, RegistryError};
use super::{LayerSink, Observer, Pull};
use crate::layer::LayerReader;
use crate::model::{Descriptor, ImageConfig, Manifest};
use crate::pipe::{PipeWriter, pipe};
use crate::store::{Partial, StoreError};
use crate::{Compression, Digest};

/// Layers that come at the same time, as with docker.
const AT_ONCE: usize = 3;

impl Pull<'_> {
    /// Fetches what is missing, several at once. The first failure stops the others.
    pub(super) fn layers(&self, manifest: &Manifest, config: &ImageConfig) -> Result<(), PullError> {
        let layers: Vec<_> = manifest.layers.iter().zip(&config.rootfs.diff_ids).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), PullError> {
            while let Some((layer, diff_id)) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.layer(layer, diff_id, config).inspect_err(|_| self.stopped.cancel())?;
                self.observer.done(layer);
            }
            Ok(())
        };
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE.min(layers.len())).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut failures: Vec<PullError> = results.into_iter().filter_map(Result::err).collect();
        failures.sort_by_key(PullError::is_echo);
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    fn layer(&self, layer: &Descriptor, diff_id: &Digest, config: &ImageConfig) -> Result<(), PullError> {
        if self.store.has(&layer.digest, layer.size) {
            self.observer.present(layer);
            return Ok(());
        }
        let partial = self.store.partial(layer, self.held)?;
        let here = partial.as_ref().map_or(0, |partial| partial.length);
        let start: Box<dyn Read> = match &partial {
            Some(partial) => Box::new(partial.start()?),
            None => Box::new(io::empty()),
        };
        let blob = start.chain(BlobReader::new(self.source, layer, here));
        let blob = Counted { inner: blob, layer, observer: self.observer };
        match self.sink.filter(|sink| sink.wants(config, diff_id)) {
            Some(sink) => self.layer_into(sink, blob, partial, layer, diff_id),
            None => self.keep(blob, partial, layer).map_err(plain),
        }
    }

    /// Puts a blob into the store, as the rest of what is there or, if somebody else is at that, on its own.
    fn keep(&self, blob: impl Read, partial: Option<Partial>, layer: &Descriptor) -> Result<(), StoreError> {
        match partial {
            Some(partial) => self.store.complete(partial, blob, layer, self.held),
            None => self.store.add(blob, &layer.digest, layer.size, self.held),
        }
    }

    /// The blob goes into the store, and its content to the sink, at the same time.
    fn layer_into(
        &self,
        sink: &dyn LayerSink,
        blob: impl Read,
        partial: Option<Partial>,
        layer: &Descriptor,
        diff_id: &Digest,
    ) -> Result<(), PullError> {
        let (writer, reader) = pipe();
        let compression = Compression::of_layer(&layer.media_type).unwrap_or_default();
        let (stored, used) = thread::scope(|scope| {
            let used = scope.spawn(move || {
                let tar = LayerReader::new(reader, compression, layer.digest, *diff_id)?;
                sink.layer(diff_id, tar)
            });
            let mut tee = Tee { inner: blob, copy: writer, length: 0 };
            let stored = self.keep(&mut tee, partial, layer);
            let stored = stored.map(|()| tee.length == layer.size);
            if matches!(stored, Ok(true)) {
                tee.copy.finish();
            } else {
                drop(tee);
            }
            (stored, used.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        if !stored.map_err(plain)? {
            // Somebody else has stored it just now, so that nothing was read.
            return Ok(());
        }
        used.map_err(|source| PullError::Sink { digest: layer.digest, source })
    }
}

/// A registry's failure that came through the store is the registry's again.
pub(super) fn plain(error: StoreError) -> PullError {
    match error {
        StoreError::Source { digest, source } => match source.downcast::<RegistryError>() {
            Ok(error) => error.into(),
            Err(source) => StoreError::Source { digest, source }.into(),
        },
        error => error.into(),
    }
}

/// Tells the observer what passes.
struct Counted<'a, R> {
    inner: R,
    layer: &'a Descriptor,
    observer: &'a dyn Observer,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.observer.bytes(self.layer, count as u64);
        Ok(count)
    }
}

/// Copies what passes into a pipe.
struct Tee<R> {
    inner: R,
    copy: PipeWriter,
    length: u64,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.copy.write_all(&buffer[..count])?;
        self.length += count as u64;
        Ok(count)
    }
}
