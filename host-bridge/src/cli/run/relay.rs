//! Our standard streams and the container's.

use std::io::{self, Read};
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::transport::GuestStream;

/// Bytes that are moved at a time.
const CHUNK: usize = 64 * 1024;
/// Chunks that are read ahead of the container.
const READ_AHEAD: usize = 4;

/// Why output could not be passed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    /// Whoever read ours has gone.
    #[error("the reader of the output has gone")]
    ReaderGone,
    /// Ours cannot be written.
    #[error("cannot write the container's output")]
    Write(#[source] io::Error),
    /// The guest's stream broke.
    #[error("cannot read the container's output")]
    Read(#[source] io::Error),
}

/// Passes our standard input on to its end, and tells the container of it. Keep the handle as long as the container runs.
///
/// Reading cannot be interrupted, so it has a thread of its own, which nothing waits for.
pub(super) fn feed(mut stdin: GuestStream) -> JoinHandle<GuestStream> {
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(READ_AHEAD);
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        // An unreadable standard input is like an empty one.
        while let Ok(count @ 1..) = io::stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            if stdin.write_all(&chunk).await.is_err() {
                // The container reads no more.
                return stdin;
            }
        }
        // Fails when the container has ended.
        let _ = stdin.shutdown().await;
        stdin
    })
}

/// Passes output on as it comes, to its end.
pub(super) async fn drain(
    stream: Option<GuestStream>,
    mut ours: impl AsyncWrite + Unpin,
) -> Result<(), OutputError> {
    let Some(mut stream) = stream else { return Ok(()) };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe => OutputError::ReaderGone,
        _ => OutputError::Write(error),
    };
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut buffer).await.map_err(OutputError::Read)?;
        if count == 0 {
            return Ok(());
        }
        ours.write_all(&buffer[..count]).await.map_err(failed)?;
        ours.flush().await.map_err(failed)?;
    }
}
