//! A copy of a process's output in a file (spec section 7.8, step 4), written by a thread of its own: the disk below the
//! file may be slow, or stuck, and nothing else of the agent must wait for it.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Pieces of output that wait for the file; each is 64 KiB at most. After that the process waits, too.
const QUEUE: usize = 8;
/// How long a full queue, or the end of a process, waits for the file. One that takes nothing for so long is given up: the
/// exit status must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(5);

enum Message {
    Bytes(Vec<u8>),
    /// Everything before it is in the file.
    Written(oneshot::Sender<()>),
}

/// The way to the file; both streams of a process have it.
#[derive(Clone, Debug)]
pub(crate) struct Tee {
    queue: mpsc::Sender<Message>,
    patience: Duration,
}

impl Tee {
    /// Copies into `file` until the last clone is gone, or writing fails.
    pub(crate) fn new(file: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        thread::Builder::new().name("tee".to_owned()).spawn(move || write(file, receiver))?;
        Ok(Self { queue: sender, patience: PATIENCE })
    }

    /// Queues `bytes`; false if they are copied no more.
    pub(super) async fn write(&self, bytes: &[u8]) -> bool {
        let queued =
            tokio::time::timeout(self.patience, self.queue.send(Message::Bytes(bytes.to_vec()))).await;
        if queued.is_err() {
            tracing::warn!("a container's output is not copied any more: the file takes nothing");
        }
        matches!(queued, Ok(Ok(())))
    }

    /// Waits until everything is in the file, but not for ever.
    pub(super) async fn flush(&self) {
        let (sender, written) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Message::Written(sender)).await.is_ok() {
                // Fails when writing has.
                let _ = written.await;
            }
        };
        if tokio::time::timeout(self.patience, flushed).await.is_err() {
            tracing::warn!("the copy of a container's output is not written yet");
        }
    }
}

fn write(mut file: impl Write, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.blocking_recv() {
        match message {
            Message::Bytes(bytes) => {
                if let Err(error) = file.write_all(&bytes) {
                    tracing::warn!(%error, "a container's output is not copied any more");
                    return;
                }
            }
            // Nobody waits any more if it took too long.
            Message::Written(asked) => drop(asked.send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc as blocking};

    use super::*;

    /// Takes nothing until it is allowed to.
    struct Slow {
        allowed: blocking::Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_file_holds_up_nobody_else_and_loses_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (allow, allowed) = blocking::channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let tee = Tee::new(Slow { allowed, taken: Arc::clone(&taken) }).unwrap();
        runtime.block_on(async {
            let all = async {
                for piece in 0..3 * u8::try_from(QUEUE).unwrap() {
                    assert!(tee.write(&[piece]).await);
                }
                tee.flush().await;
            };
            // The writes stop at the full queue, and only this task lets them go on: on one thread.
            let others = async {
                for _ in 0..3 * QUEUE {
                    tokio::task::yield_now().await;
                    allow.send(()).unwrap();
                }
            };
            tokio::join!(all, others);
        });
        let expected: Vec<u8> = (0..3 * u8::try_from(QUEUE).unwrap()).collect();
        assert_eq!(*taken.lock().unwrap(), expected);
    }

    #[test]
    fn a_file_that_takes_nothing_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (allow, allowed) = blocking::channel();
        let tee = Tee::new(Slow { allowed, taken: Arc::default() }).unwrap();
        let tee = Tee { patience: Duration::from_millis(1), ..tee };
        runtime.block_on(async {
            while tee.write(b"x").await {}
            tee.flush().await;
        });
        drop(allow);
    }

    #[test]
    fn after_a_failure_nothing_waits_for_the_file() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (allow, allowed) = blocking::channel();
        drop(allow);
        let tee = Tee::new(Slow { allowed, taken: Arc::default() }).unwrap();
        runtime.block_on(async {
            while tee.write(b"x").await {
                tokio::task::yield_now().await;
            }
            tee.flush().await;
        });
    }
}
