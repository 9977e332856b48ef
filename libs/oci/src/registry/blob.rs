//! Blobs (distribution-spec, "Pulling blobs"), resumed where a connection broke (RFC 9110, section 14).
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use oci_client::client::{BlobResponse, SizedStream};
use tokio::sync::mpsc::{Receiver, channel};

use super::RegistryError;
use super::failure::broken;
use super::retry::Tries;
use super::source::{Asked, Failure, Part, Source};
use crate::model::Descriptor;

/// What a connection must bring to count as progress: a server that sends one byte at a time is not waited for.
const PROGRESS: u64 = 64 << 10;
/// Pieces that are read ahead; the largest are some hundred kilobytes.
const PIECES: usize = 4;

/// The bytes of a blob, as many as promised, over as many connections as it takes. Its digest is for others to check.
pub(super) struct BlobReader<'a> {
    source: &'a Source<'a>,
    name: String,
    size: u64,
    offset: u64,
    /// Offset at which the connection was made.
    since: u64,
    body: Option<Body>,
    tries: Tries<'a>,
}

impl<'a> BlobReader<'a> {
    /// From `offset` on.
    pub(super) fn new(source: &'a Source<'a>, blob: &Descriptor, offset: u64) -> Self {
        let tries = Tries::new(&source.registry.options.patience);
        let name = blob.digest.to_string();
        Self { source, name, size: blob.size, offset, since: offset, body: None, tries }
    }

    fn connect(&self) -> Result<Body, RegistryError> {
        self.source.ask(Part { kind: "blobs", name: &self.name }, |asked| self.request(asked))
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Body, Failure> {
        let name = self.name.as_str();
        let (start, stream) = if self.offset == 0 {
            (0, self.source.wait(asked.client.pull_blob_stream(&asked.image, name))??)
        } else {
            let part = asked.client.pull_blob_stream_partial(&asked.image, name, self.offset, None);
            match self.source.wait(part)?? {
                BlobResponse::Partial(stream) => (self.offset, stream),
                // Ranges are optional for servers: what we have already is read once more.
                BlobResponse::Full(stream) => (0, stream),
            }
        };
        if let Some(length) = stream.content_length
            && start + length != self.size
        {
            let reason = format!("{} bytes, not {}", start + length, self.size);
            return Err(RegistryError::Lie { url: asked.url.clone(), reason }.into());
        }
        let mut body = self.body(stream)?;
        let known = self.offset - start;
        let skipped = io::copy(&mut body.by_ref().take(known), &mut io::sink());
        if skipped.map_err(|error| self.lost(&asked.url, error))? < known {
            return Err(broken(&asked.url, end()).into());
        }
        Ok(body)
    }

    /// Has the blob come by itself, a little ahead of whoever reads it.
    fn body(&self, stream: SizedStream) -> Result<Body, RegistryError> {
        let (sender, pieces) = channel(PIECES);
        let stopped = self.source.stopped.clone();
        let mut stream = stream.stream;
        let bring = async move {
            while let Some(piece) = stream.next().await {
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        };
        self.source.registry.clients.start(async move {
            stopped.run_until_cancelled(bring).await;
        })?;
        Ok(Body { pieces, piece: Bytes::new() })
    }

    fn lost(&self, url: &str, error: io::Error) -> RegistryError {
        if self.source.stopped.is_cancelled() { RegistryError::Interrupted } else { broken(url, error) }
    }

    /// The connection broke: whether to make another.
    fn broken(&mut self, error: io::Error) -> io::Result<()> {
        self.body = None;
        if self.offset - self.since >= PROGRESS {
            self.tries.progress();
        }
        let url = format!("{}: blob {}", self.source.host(), self.name);
        let error = self.lost(&url, error);
        let (error, pause) = self.tries.after(error).map_err(io::Error::other)?;
        self.source.pause(&error, pause).map_err(io::Error::other)
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        loop {
            if self.source.stopped.is_cancelled() {
                return Err(io::Error::other(RegistryError::Interrupted));
            }
            if self.body.is_none() {
                self.since = self.offset;
                self.body = Some(self.connect().map_err(io::Error::other)?);
            }
            let Some(body) = &mut self.body else { continue };
            match body.read(&mut buffer[..wanted]) {
                Ok(0) => self.broken(end())?,
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) => self.broken(error)?,
            }
        }
    }
}

fn end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection has ended too early")
}

/// What comes over one connection.
struct Body {
    pieces: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
