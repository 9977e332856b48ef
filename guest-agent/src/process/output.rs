//! One output stream of a process on its way to the host, and what happens when the host goes away (spec sections
//! 8.3 and 12.3).

use std::io;
use std::time::Duration;

use lcow_protocol::VsockPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::Process;
use super::again::{Again, Bridge};
use super::ending::Ending;
use super::phase::{Phase, patiently};
use super::tee::Tee;
use crate::transport::HostStream;

/// After all output was sent, so long may the host take to close. Upstream waits for ever, and so a vanished
/// host could keep an exit status from being reported (spec section 17, row 26). It cannot be much shorter: only by its
/// closing does a host say that it has read all, and one that is told the exit status first reads for a second more.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);
/// The same where nothing was sent, so that nothing can be lost: a host that closes does so at once, and one that asked for
/// a stream and has forgotten it does not hold up the status.
const EMPTY_PATIENCE: Duration = Duration::from_secs(1);

/// What the relays of a process know beside its connections.
#[derive(Clone, Debug)]
pub(crate) struct Extras {
    /// The process.
    pub(crate) phase: watch::Receiver<Phase>,
    /// Gets a copy of all output.
    pub(crate) tee: Option<Tee>,
    /// Lost connections are made again, and this tells whether the host is there.
    pub(crate) reconnect: Option<Bridge>,
    /// Nobody writes for it once it has ended.
    pub(crate) is_last: bool,
}

impl Extras {
    /// Nothing but the process, as for all that are not a container's init.
    pub(crate) fn none(process: &Process) -> Self {
        Self { phase: process.phase(), tee: None, reconnect: None, is_last: false }
    }

    /// When its output ends.
    pub(super) fn ending(&self) -> Ending {
        Ending::new(self.is_last.then(|| self.phase.clone()))
    }
}

/// One stream.
pub(super) struct Output {
    host: Option<HostStream>,
    phase: watch::Receiver<Phase>,
    tee: Option<Tee>,
    again: Option<Again>,
    /// Whether there was anything for the host.
    used: bool,
}

impl Output {
    /// A stream to `host`, which was found at `port`.
    pub(super) fn new(host: Option<HostStream>, port: VsockPort, extras: &Extras) -> Self {
        let Extras { phase, tee, reconnect, is_last: _ } = extras.clone();
        let again = reconnect.map(|bridge| Again::new(port, bridge));
        Self { host, phase, tee, again, used: false }
    }

    /// Sends `bytes`. What nobody listens to is thrown away: the process must not block on its own output for that.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        if let Some(tee) = &self.tee
            && !tee.write(bytes).await
        {
            self.tee = None;
        }
        if self.host.is_none() {
            return;
        }
        self.used = true;
        if let Some(again) = &mut self.again {
            again.remember(bytes);
        }
        if let Err(error) = self.send(bytes).await {
            self.host = self.reconnect(&error).await;
        }
    }

    /// Sends `bytes` for as long as the host gets on with them.
    async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(host) = &mut self.host
            && !bytes.is_empty()
        {
            match patiently(&mut self.phase, host.write(bytes)).await.transpose()? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(written) => bytes = &bytes[written..],
                None => {
                    tracing::warn!("a host does not read a process's output: the rest is thrown away");
                    self.host = None;
                }
            }
        }
        Ok(())
    }

    /// At the end of the output: half-close, then wait until the host has read everything and closed.
    pub(super) async fn close(mut self) {
        self.flush().await;
        let patience = if self.used { DRAIN_PATIENCE } else { EMPTY_PATIENCE };
        while let Some(host) = &mut self.host {
            match host.shutdown().await {
                Ok(()) => {
                    let mut byte = [0];
                    // Any outcome means that the host is done.
                    let read = patiently(&mut self.phase, host.read(&mut byte));
                    let _ = tokio::time::timeout(patience, read).await;
                    return;
                }
                Err(error) => self.host = self.reconnect(&error).await,
            }
        }
    }

    /// Waits until the copy is written.
    pub(super) async fn flush(&self) {
        if let Some(tee) = &self.tee {
            tee.flush().await;
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
        again.dial(&mut self.phase).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tokio::time::Instant;

    use super::*;
    use crate::process::Asked;

    /// How long, by virtual time, a host that does not close holds up what comes after these pieces of output.
    async fn held_up_after(pieces: &[&[u8]]) -> Duration {
        let (_host, ours) = tokio::net::UnixStream::pair().unwrap();
        let (_process, phase) = watch::channel(Phase::default());
        let extras = Extras { phase, tee: None, reconnect: None, is_last: false };
        let mut output = Output::new(Some(HostStream::Unix(ours)), VsockPort(1), &extras);
        for piece in pieces {
            output.write(piece).await;
        }
        let begin = Instant::now();
        output.close().await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_close_is_waited_for_long_only_if_it_has_something_to_read() {
        assert!(held_up_after(&[b"all of it"]).await >= DRAIN_PATIENCE);
        let empty = held_up_after(&[]).await;
        assert!(empty >= EMPTY_PATIENCE && empty < DRAIN_PATIENCE, "{empty:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_reads_nothing_holds_up_what_has_ended_only_so_long() {
        // More than a socket holds.
        let bytes = vec![0; 4 << 20];
        for (asked, at_most) in [(Asked::Nothing, 60), (Asked::End, 60), (Asked::Nevermore, 2)] {
            let (_host, ours) = tokio::net::UnixStream::pair().unwrap();
            let (process, phase) = watch::channel(Phase::default());
            let extras = Extras { phase, tee: None, reconnect: None, is_last: false };
            let mut output = Output::new(Some(HostStream::Unix(ours)), VsockPort(1), &extras);
            let running = tokio::time::timeout(100 * DRAIN_PATIENCE, output.write(&bytes)).await;
            assert!(running.is_err(), "a process that runs waits for its host");
            process.send_replace(Phase { ended: true, asked });
            let begin = Instant::now();
            output.write(&bytes).await;
            output.close().await;
            assert!(begin.elapsed() <= Duration::from_secs(at_most), "{asked:?}: {:?}", begin.elapsed());
        }
    }

    #[test]
    fn a_stream_without_a_host_is_copied_all_the_same() {
        let path = std::env::temp_dir().join(format!("tee-{}", std::process::id()));
        let tee = Some(Tee::new(File::create(&path).unwrap()).unwrap());
        let (_process, phase) = watch::channel(Phase::default());
        let mut output =
            Output::new(None, VsockPort(1), &Extras { phase, tee, reconnect: None, is_last: false });
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
