//! The end of an output stream: its last writer has closed it, or nobody is left whose output it is.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Phase;
use super::pty::Pty;
use crate::sys;

/// How long in all the kernel may take to pass on what a terminal holds, which it does in the background.
const PASSED_ON: Duration = Duration::from_secs(1);
/// More than a terminal holds in bytes (`TTYB_DEFAULT_MEM_LIMIT` in the kernel's `tty_buffer.c` is half of it).
const TERMINAL: usize = 128 << 10;

/// Where output comes from.
pub(super) trait Source {
    /// Reads as soon as there is something. Can be dropped without a loss.
    async fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize>;

    /// How much of what was written until now can still come, in bytes.
    fn backlog(&self) -> usize;
}

impl Source for pipe::Receiver {
    async fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        AsyncReadExt::read(self, chunk).await
    }

    fn backlog(&self) -> usize {
        sys::readable_bytes(self).unwrap_or(0)
    }
}

impl Source for &Pty {
    async fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        Pty::read(self, chunk).await
    }

    fn backlog(&self) -> usize {
        TERMINAL
    }
}

/// Reads an output stream to its end.
pub(super) struct Ending {
    /// Tells when the process has ended; only for one with which all ends that may write there for it. Whoever else has the
    /// stream then, by `SCM_RIGHTS` from it, does not hold up its exit status.
    last: Option<watch::Receiver<Phase>>,
    rest: Option<Rest>,
}

/// What is still to come.
struct Rest {
    bytes: usize,
    wait: Duration,
}

impl Ending {
    /// Of a stream that ends with the process of `last`, if not before.
    pub(super) fn new(last: Option<watch::Receiver<Phase>>) -> Self {
        Self { last, rest: None }
    }

    /// The length of what comes next; `None` at the end.
    pub(super) async fn read(&mut self, source: &mut impl Source, chunk: &mut [u8]) -> Option<usize> {
        loop {
            if let Some(rest) = &mut self.rest {
                return rest.read(source, chunk).await;
            }
            let ended = async {
                match &mut self.last {
                    // A process that is forgotten has ended, too.
                    Some(last) => drop(last.wait_for(|phase| phase.ended).await),
                    None => pending().await,
                }
            };
            tokio::select! {
                // In this order: somebody else may write without a pause.
                biased;
                () = ended => {}
                read = source.read(chunk) => return read.ok().filter(|count| *count > 0),
            }
            self.rest = Some(Rest { bytes: source.backlog(), wait: PASSED_ON });
        }
    }
}

impl Rest {
    async fn read(&mut self, source: &mut impl Source, chunk: &mut [u8]) -> Option<usize> {
        let most = chunk.len().min(self.bytes);
        if most == 0 {
            return None;
        }
        let begin = Instant::now();
        let read = timeout(self.wait, source.read(&mut chunk[..most])).await.ok()?;
        self.wait = self.wait.saturating_sub(begin.elapsed());
        let count = read.ok().filter(|count| *count > 0)?;
        self.bytes -= count;
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const ENDED: Phase = Phase { ended: true, asked: super::super::Asked::Nothing };

    async fn all(ending: &mut Ending, source: &mut impl Source) -> Vec<u8> {
        let (mut all, mut chunk) = (Vec::new(), [0; 4]);
        while let Some(count) = ending.read(source, &mut chunk).await {
            all.extend_from_slice(&chunk[..count]);
        }
        all
    }

    #[tokio::test]
    async fn what_was_written_until_the_end_comes_and_nobody_else_is_waited_for() {
        let (mut writer, mut reader) = pipe::pipe().unwrap();
        let (process, phase) = watch::channel(Phase::default());
        let mut ending = Ending::new(Some(phase));
        writer.write_all(b"its own ").await.unwrap();
        let mut chunk = [0; 8];
        assert_eq!(ending.read(&mut reader, &mut chunk).await, Some(8));
        writer.write_all(b"last words").await.unwrap();
        process.send_replace(ENDED);
        // The first read finds the end; what is written afterwards is somebody else's.
        assert_eq!(ending.read(&mut reader, &mut chunk).await, Some(8));
        writer.write_all(b"not its own").await.unwrap();
        assert_eq!(all(&mut ending, &mut reader).await, b"ds");
    }

    #[tokio::test]
    async fn one_that_is_waiting_for_output_hears_of_the_end() {
        let (_writer, mut reader) = pipe::pipe().unwrap();
        let (process, phase) = watch::channel(Phase::default());
        let mut ending = Ending::new(Some(phase));
        let end = async {
            tokio::task::yield_now().await;
            process.send_replace(ENDED);
        };
        let (rest, ()) = tokio::join!(all(&mut ending, &mut reader), end);
        assert_eq!(rest, b"");
    }

    #[tokio::test]
    async fn a_stream_that_others_may_have_is_read_to_its_end() {
        let (mut writer, mut reader) = pipe::pipe().unwrap();
        let mut ending = Ending::new(None);
        let write = async move {
            writer.write_all(b"more ").await.unwrap();
            tokio::task::yield_now().await;
            writer.write_all(b"than one").await.unwrap();
        };
        let (read, ()) = tokio::join!(all(&mut ending, &mut reader), write);
        assert_eq!(read, b"more than one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_that_others_have_is_soon_done_and_loses_nothing() {
        let (pty, slave) = Pty::open().unwrap();
        nix::unistd::write(&slave, b"shown").unwrap();
        let (_process, phase) = watch::channel(ENDED);
        let begin = Instant::now();
        assert_eq!(all(&mut Ending::new(Some(phase)), &mut &pty).await, b"shown");
        assert!(begin.elapsed() <= PASSED_ON, "{:?}", begin.elapsed());
    }
}
