//! An output stream whose host has gone, and its next connection (spec section 12.3).

use std::collections::VecDeque;
use std::time::Duration;

use lcow_protocol::VsockPort;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::bridge::Generation;
use crate::transport::HostStream;

/// What a host that has moved may have lost of a stream.
const REPLAY: usize = 128 << 10;
/// Pause before dialling again.
const REDIAL: Duration = Duration::from_millis(100);
/// After the process has ended, so long may a host be away: its exit status must not wait for ever.
const AWAY: Duration = Duration::from_secs(5);
/// The same for a host that is still there: when a VM is moved, the bridge breaks with the streams, at the latest within
/// this time. If it does not, the stream was closed on purpose.
const CLOSED: Duration = Duration::from_millis(500);

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

/// What it takes to know whether a lost connection should be made again.
#[derive(Clone, Debug)]
pub(crate) struct Reconnect {
    /// The process.
    pub(crate) phase: watch::Receiver<Phase>,
    /// The bridge, which tells whether the host is there.
    pub(crate) bridge: watch::Receiver<Option<Generation>>,
}

/// A stream's memory.
pub(super) struct Again {
    port: VsockPort,
    recent: VecDeque<u8>,
    reconnect: Reconnect,
    /// The bridge at the time of the stream's connection.
    host: Option<Generation>,
}

impl Again {
    /// For a stream that was just connected to `port`.
    pub(super) fn new(port: VsockPort, reconnect: Reconnect) -> Self {
        let host = *reconnect.bridge.borrow();
        Self { port, recent: VecDeque::new(), reconnect, host }
    }

    /// Keeps the end of what is sent.
    pub(super) fn remember(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(REPLAY)..];
        let excess = (self.recent.len() + bytes.len()).saturating_sub(REPLAY);
        self.recent.drain(..excess);
        self.recent.extend(bytes);
    }

    /// A new connection that has got the last bytes again; `None` if there will be none.
    pub(super) async fn dial(&mut self) -> Option<HostStream> {
        tracing::info!(port = %self.port, "an output stream has lost its host");
        let mut ended = None;
        loop {
            let phase = *self.reconnect.phase.borrow();
            if phase != Phase::Running {
                let since: &Instant = ended.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.patience(phase) {
                    return None;
                }
            }
            if let Ok(mut host) = HostStream::dial(self.port).await
                && host.write_all(self.recent.make_contiguous()).await.is_ok()
            {
                self.host = *self.reconnect.bridge.borrow();
                return Some(host);
            }
            // A change of phase is looked at with the next round.
            tokio::time::sleep(REDIAL).await;
        }
    }

    /// How long the process's end may be kept from its host.
    fn patience(&self, phase: Phase) -> Duration {
        let stayed = self.host.is_some() && *self.reconnect.bridge.borrow() == self.host;
        match phase {
            Phase::Abandoned => Duration::ZERO,
            _ if stayed => CLOSED,
            _ => AWAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(bridge: &watch::Sender<Option<Generation>>) -> Again {
        let (_, phase) = watch::channel(Phase::Running);
        Again::new(VsockPort(1), Reconnect { phase, bridge: bridge.subscribe() })
    }

    #[test]
    fn the_last_bytes_are_kept_and_no_more() {
        let mut again = again(&watch::Sender::new(None));
        again.remember(&[1; 100]);
        again.remember(&vec![2; REPLAY - 50]);
        assert_eq!(again.recent.len(), REPLAY);
        assert_eq!((again.recent[49], again.recent[50]), (1, 2));
        again.remember(&vec![3; 2 * REPLAY]);
        assert_eq!(again.recent.len(), REPLAY);
        assert!(again.recent.iter().all(|byte| *byte == 3));
    }

    #[test]
    fn a_host_that_is_there_has_closed_on_purpose() {
        let first = Generation::default();
        let bridge = watch::Sender::new(Some(first));
        let again = again(&bridge);
        assert_eq!(again.patience(Phase::Ended), CLOSED);
        assert_eq!(again.patience(Phase::Abandoned), Duration::ZERO);
        bridge.send_replace(None);
        assert_eq!(again.patience(Phase::Ended), AWAY);
        bridge.send_replace(Some(first.next()));
        assert_eq!(again.patience(Phase::Ended), AWAY, "another connection: the VM was moved");
    }

    #[test]
    fn a_stream_from_before_any_host_may_wait_for_one() {
        assert_eq!(again(&watch::Sender::new(None)).patience(Phase::Ended), AWAY);
    }
}
