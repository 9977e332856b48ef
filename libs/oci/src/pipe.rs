//! A stream of bytes between threads, so that unpacking, hashing and writing run side by side.
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Size of a piece, and pieces on their way: a megabyte between two threads.
const PIECE: usize = 128 * 1024;
const PIECES: usize = 8;

type Piece = io::Result<Vec<u8>>;

/// A pipe's two ends.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, receiver) = sync_channel(PIECES);
    let writer = PipeWriter { sender: Some(sender), piece: Vec::with_capacity(PIECE), whole: false };
    (writer, PipeReader { receiver, piece: Vec::new(), at: 0, failed: false })
}

/// Where bytes go in. If it is dropped before [`PipeWriter::finish`] the reader gets an error, not an end.
pub(crate) struct PipeWriter {
    /// Absent once the reader has gone.
    sender: Option<SyncSender<Piece>>,
    piece: Vec<u8>,
    whole: bool,
}

impl PipeWriter {
    /// All has been written.
    pub(crate) fn finish(mut self) {
        self.whole = true;
    }

    /// The source has failed; so does the reader, once it has read what came before.
    pub(crate) fn fail(mut self, error: io::Error) {
        self.send_piece();
        self.send(Err(error));
        self.sender = None;
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.sender.is_none()
    }

    fn send(&mut self, piece: Piece) {
        if let Some(sender) = &self.sender
            && sender.send(piece).is_err()
        {
            // The reader has had enough; that is its business.
            self.sender = None;
        }
    }

    fn send_piece(&mut self) {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.send(Ok(piece));
    }
}

impl Write for PipeWriter {
    /// Never fails: bytes that nobody reads any more are dropped.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.sender.is_none() {
            return Ok(bytes.len());
        }
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.send_piece();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        if self.whole {
            self.send_piece();
        } else {
            self.send(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the source has failed")));
        }
    }
}

/// Where bytes come out.
pub(crate) struct PipeReader {
    receiver: Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    /// After an error there is no end, only that error.
    failed: bool,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(Ok(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(Err(error)) => {
                    self.failed = true;
                    return Err(error);
                }
                Err(_) if self.failed => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Reads `source` in a thread of its own. The thread ends with the source, or when the reader is dropped.
pub(crate) fn read_ahead(mut source: impl Read + Send + 'static) -> io::Result<PipeReader> {
    let (mut writer, reader) = pipe();
    thread::Builder::new().name("read-ahead".into()).spawn(move || {
        loop {
            let filled = writer.piece.len();
            writer.piece.resize(PIECE, 0);
            let read = source.read(&mut writer.piece[filled..]);
            writer.piece.truncate(filled + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return writer.finish(),
                Ok(_) if writer.sender.is_none() => return,
                Ok(_) if writer.piece.len() == PIECE => writer.send_piece(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return writer.fail(error),
            }
        }
    })?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("no"))
        }
    }

    #[test]
    fn all_bytes_arrive_in_order() {
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut out = Vec::new();
        read_ahead(io::Cursor::new(data.clone())).expect("thread").read_to_end(&mut out).expect("read");
        assert!(out == data);
        let (mut writer, mut reader) = pipe();
        let copy = data.clone();
        let thread = thread::spawn(move || {
            writer.write_all(&copy).expect("written");
            writer.finish();
        });
        let mut out = Vec::new();
        reader.read_to_end(&mut out).expect("read");
        thread.join().expect("thread");
        assert!(out == data);
    }

    #[test]
    fn a_failed_source_is_an_error_and_a_gone_reader_is_none() {
        let (mut writer, mut reader) = pipe();
        writer.write_all(b"half").expect("written");
        drop(writer);
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
        let (mut writer, reader) = pipe();
        drop(reader);
        writer.write_all(&vec![0; 10 << 20]).expect("dropped");
        let error = read_ahead(Failing).expect("thread").read_to_end(&mut Vec::new()).expect_err("fails");
        assert_eq!(error.to_string(), "no");
    }
}
