//! One output stream of a process on its way to the host, and what happens when the host goes away (spec sections
//! 8.3 and 12.3).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use lcow_protocol::VsockPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::transport::HostStream;

/// What a host that has moved may have lost of a stream (spec section 12.3).
const REPLAY: usize = 128 << 10;
/// Pause before dialling again.
const REDIAL: Duration = Duration::from_millis(100);
/// After the process has ended, so long may a host be away: its exit status must not wait for ever.
const AWAY: Duration = Duration::from_secs(5);
/// After all output was sent, so long may the host take to close. Upstream waits for ever, and so a vanished
/// host could keep an exit status from being reported (spec section 17, row 26).
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// How far a process has come, for streams whose host is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It may write for ever.
    #[default]
    Running,
    /// It has ended; what it wrote may still be delivered.
    Ended,
    /// Nobody wants its output any more.
    Abandoned,
}

/// What a container's init has beside its connections.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Gets a copy of all output.
    pub(crate) tee: Option<Rc<File>>,
    /// Lost connections are made again while this says so.
    pub(crate) phase: Option<watch::Receiver<Phase>>,
}

/// One stream.
pub(super) struct Output {
    host: Option<HostStream>,
    tee: Option<Rc<File>>,
    again: Option<Again>,
}

/// What it takes to make a lost connection again.
struct Again {
    port: VsockPort,
    recent: VecDeque<u8>,
    phase: watch::Receiver<Phase>,
}

impl Output {
    /// A stream to `host`, which was found at `port`.
    pub(super) fn new(host: Option<HostStream>, port: VsockPort, extras: &Extras) -> Self {
        let phase = extras.phase.clone();
        let again = phase.map(|phase| Again { port, recent: VecDeque::new(), phase });
        Self { host, tee: extras.tee.clone(), again }
    }

    /// Sends `bytes`. What nobody listens to is thrown away: the process must not block on its own output for that.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        if let Some(mut tee) = self.tee.as_deref()
            && let Err(error) = tee.write_all(bytes)
        {
            tracing::warn!(%error, "a container's output is not copied any more");
            self.tee = None;
        }
        let Some(host) = &mut self.host else { return };
        if let Some(again) = &mut self.again {
            again.remember(bytes);
        }
        if let Err(error) = host.write_all(bytes).await {
            self.host = self.reconnect(&error).await;
        }
    }

    /// At the end of the output: half-close, then wait until the host has read everything and closed.
    pub(super) async fn close(mut self) {
        while let Some(host) = &mut self.host {
            match host.shutdown().await {
                Ok(()) => {
                    let mut byte = [0];
                    // Any outcome means that the host is done.
                    let _ = tokio::time::timeout(DRAIN_PATIENCE, host.read(&mut byte)).await;
                    return;
                }
                Err(error) => self.host = self.reconnect(&error).await,
            }
        }
    }

    /// A new connection that has got the last bytes again; `None` if there will be none.
    async fn reconnect(&mut self, error: &io::Error) -> Option<HostStream> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
        self.host = None;
        let again = self.again.as_mut()?;
        if !matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected) {
            return None;
        }
        tracing::info!(port = %again.port, "an output stream has lost its host");
        again.dial().await
    }
}

impl Again {
    fn remember(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(REPLAY)..];
        let excess = (self.recent.len() + bytes.len()).saturating_sub(REPLAY);
        self.recent.drain(..excess);
        self.recent.extend(bytes);
    }

    async fn dial(&mut self) -> Option<HostStream> {
        let mut ended = None;
        loop {
            match *self.phase.borrow() {
                Phase::Running => {}
                Phase::Ended if ended.get_or_insert_with(Instant::now).elapsed() < AWAY => {}
                Phase::Ended | Phase::Abandoned => return None,
            }
            if let Ok(mut host) = HostStream::dial(self.port).await
                && host.write_all(self.recent.make_contiguous()).await.is_ok()
            {
                return Some(host);
            }
            // A change of phase is looked at with the next round.
            tokio::time::sleep(REDIAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_no_more() {
        let (_, phase) = watch::channel(Phase::Running);
        let mut again = Again { port: VsockPort(1), recent: VecDeque::new(), phase };
        again.remember(&[1; 100]);
        again.remember(&vec![2; REPLAY - 50]);
        assert_eq!(again.recent.len(), REPLAY);
        assert_eq!((again.recent[49], again.recent[50]), (1, 2));
        again.remember(&vec![3; 2 * REPLAY]);
        assert_eq!(again.recent.len(), REPLAY);
        assert!(again.recent.iter().all(|byte| *byte == 3));
    }

    #[test]
    fn a_stream_without_a_host_is_copied_all_the_same() {
        let path = std::env::temp_dir().join(format!("tee-{}", std::process::id()));
        let tee = Some(Rc::new(File::create(&path).unwrap()));
        let mut output = Output::new(None, VsockPort(1), &Extras { tee, phase: None });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            output.write(b"one ").await;
            output.write(b"two").await;
            output.close().await;
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one two");
        std::fs::remove_file(path).unwrap();
    }
}
