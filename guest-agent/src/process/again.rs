//! An output stream whose host has gone, and its next connection (spec section 12.3).

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use lcow_protocol::VsockPort;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::phase::{Asked, Phase, patiently};
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

/// The bridge's connection, if there is one.
pub(crate) type Bridge = watch::Receiver<Option<Generation>>;

/// A stream's memory.
pub(super) struct Again {
    port: VsockPort,
    recent: VecDeque<u8>,
    /// Tells whether the host is there.
    bridge: Bridge,
    /// The bridge at the time of the stream's connection.
    host: Option<Generation>,
}

impl Again {
    /// For a stream that was just connected to `port`.
    pub(super) fn new(port: VsockPort, bridge: Bridge) -> Self {
        let host = *bridge.borrow();
        Self { port, recent: VecDeque::new(), bridge, host }
    }

    /// Keeps the end of what is sent.
    pub(super) fn remember(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(REPLAY)..];
        let excess = (self.recent.len() + bytes.len()).saturating_sub(REPLAY);
        self.recent.drain(..excess);
        self.recent.extend(bytes);
    }

    /// A new connection that has got the last bytes again; `None` if there will be none.
    pub(super) async fn dial(&mut self, phase: &mut watch::Receiver<Phase>) -> Option<HostStream> {
        tracing::info!(port = %self.port, "an output stream has lost its host");
        let mut ended = None;
        loop {
            let now = *phase.borrow();
            if now != Phase::default() {
                let since: &Instant = ended.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.patience(now) {
                    return None;
                }
            }
            if let Ok(host) = patiently(phase, self.connect()).await? {
                self.host = *self.bridge.borrow();
                return Some(host);
            }
            // A change of phase is looked at with the next round.
            tokio::time::sleep(REDIAL).await;
        }
    }

    async fn connect(&mut self) -> io::Result<HostStream> {
        let mut host = HostStream::dial(self.port).await.map_err(io::Error::other)?;
        host.write_all(self.recent.make_contiguous()).await?;
        Ok(host)
    }

    /// How long the process's end may be kept from its host.
    fn patience(&self, phase: Phase) -> Duration {
        let stayed = self.host.is_some() && *self.bridge.borrow() == self.host;
        match phase.asked {
            Asked::End | Asked::Nevermore => Duration::ZERO,
            Asked::Nothing if stayed => CLOSED,
            Asked::Nothing => AWAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: Phase = Phase { ended: true, asked: Asked::Nothing };

    fn again(bridge: &watch::Sender<Option<Generation>>) -> Again {
        Again::new(VsockPort(1), bridge.subscribe())
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
        assert_eq!(again.patience(ENDED), CLOSED);
        for asked in [Asked::End, Asked::Nevermore] {
            assert_eq!(again.patience(Phase { asked, ..ENDED }), Duration::ZERO);
        }
        bridge.send_replace(None);
        assert_eq!(again.patience(ENDED), AWAY);
        bridge.send_replace(Some(first.next()));
        assert_eq!(again.patience(ENDED), AWAY, "another connection: the VM was moved");
    }

    #[test]
    fn a_stream_from_before_any_host_may_wait_for_one() {
        assert_eq!(again(&watch::Sender::new(None)).patience(ENDED), AWAY);
    }
}
