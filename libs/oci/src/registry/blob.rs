//! Blobs (distribution-spec, "Pulling blobs"), resumed where a connection broke (RFC 9110, section 14).
use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::thread;

use ureq::http::StatusCode;
use ureq::http::header::CONTENT_RANGE;

use super::RegistryError;
use super::http::Answer;
use super::retry::Tries;
use super::source::{Part, Source};
use crate::model::Descriptor;

/// What a connection must bring to count as progress: a server that sends one byte at a time is not waited for.
const PROGRESS: u64 = 64 << 10;

/// The bytes of a blob, as many as promised, over as many connections as it takes. Its digest is for others to check.
pub(super) struct BlobReader<'a> {
    source: &'a Source<'a>,
    name: String,
    size: u64,
    offset: u64,
    /// Offset at which the connection was made.
    since: u64,
    body: Option<Box<dyn Read + Send>>,
    tries: Tries<'a>,
}

impl<'a> BlobReader<'a> {
    /// From `offset` on.
    pub(super) fn new(source: &'a Source<'a>, blob: &Descriptor, offset: u64) -> Self {
        let tries = Tries::new(&source.registry.options.patience);
        let name = blob.digest.to_string();
        Self { source, name, size: blob.size, offset, since: offset, body: None, tries }
    }

    fn connect(&self) -> Result<Box<dyn Read + Send>, RegistryError> {
        let headers =
            if self.offset == 0 { vec![] } else { vec![("range", format!("bytes={}-", self.offset))] };
        let part = Part { kind: "blobs", name: &self.name };
        self.source.ask(part, &headers, |url, answer| self.accept(url, answer))
    }

    fn accept(&self, url: &str, answer: Answer) -> Result<Box<dyn Read + Send>, RegistryError> {
        let lie = |reason: String| RegistryError::Lie { url: url.to_owned(), reason };
        let partial = answer.status() == StatusCode::PARTIAL_CONTENT;
        let start = if partial {
            let range = answer.header(CONTENT_RANGE).and_then(range_start);
            range.ok_or_else(|| lie("a part without saying which".into()))?
        } else {
            0
        };
        if partial && start != self.offset {
            return Err(lie(format!("the part from {start}, not from {}", self.offset)));
        }
        if let Some(length) = answer.length()
            && start + length != self.size
        {
            return Err(lie(format!("{} bytes, not {}", start + length, self.size)));
        }
        let mut body = answer.into_reader();
        if start < self.offset {
            // Ranges are optional for servers: what we have already is read once more.
            let skipped = io::copy(&mut body.by_ref().take(self.offset), &mut io::sink());
            let lost = |error| RegistryError::Connection {
                url: url.to_owned(),
                source: Box::new(ureq::Error::Io(error)),
            };
            if skipped.map_err(lost)? < self.offset {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(body)
    }

    /// The connection broke: whether to make another.
    fn broken(&mut self, error: io::Error) -> io::Result<()> {
        self.body = None;
        if self.offset - self.since >= PROGRESS {
            self.tries.progress();
        }
        let url = format!("{}: blob {}", self.source.host(), self.name);
        let error = RegistryError::Connection { url, source: Box::new(ureq::Error::Io(error)) };
        thread::sleep(self.tries.after(error).map_err(io::Error::other)?);
        Ok(())
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        loop {
            if self.source.stopped.load(Ordering::Relaxed) {
                return Err(io::Error::other(RegistryError::Interrupted));
            }
            if self.body.is_none() {
                self.since = self.offset;
                self.body = Some(self.connect().map_err(io::Error::other)?);
            }
            let Some(body) = &mut self.body else { continue };
            match body.read(&mut buffer[..wanted]) {
                Ok(0) => self.broken(io::ErrorKind::UnexpectedEof.into())?,
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.broken(error)?,
            }
        }
    }
}

/// The first offset in `bytes 5-9/10`.
fn range_start(header: &str) -> Option<u64> {
    header.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
