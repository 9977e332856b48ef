//! One output stream of a process on its way to the host, and what happens when the host goes away (spec sections
//! 8.3 and 12.3).

use std::io;
use std::time::Duration;

use lcow_protocol::VsockPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::again::{Again, Reconnect};
use super::tee::Tee;
use crate::transport::HostStream;

/// After all output was sent, so long may the host take to close. Upstream waits for ever, and so a vanished
/// host could keep an exit status from being reported (spec section 17, row 26). It cannot be much shorter: only by its
/// closing does a host say that it has read all, and one that is told the exit status first reads for a second more.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);
/// The same where nothing was sent, so that nothing can be lost: a host that closes does so at once, and one that asked for
/// a stream and has forgotten it does not hold up the status.
const EMPTY_PATIENCE: Duration = Duration::from_secs(1);

/// What a container's init has beside its connections.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Gets a copy of all output.
    pub(crate) tee: Option<Tee>,
    /// Lost connections are made again.
    pub(crate) reconnect: Option<Reconnect>,
}

/// One stream.
pub(super) struct Output {
    host: Option<HostStream>,
    tee: Option<Tee>,
    again: Option<Again>,
    /// Whether there was anything for the host.
    used: bool,
}

impl Output {
    /// A stream to `host`, which was found at `port`.
    pub(super) fn new(host: Option<HostStream>, port: VsockPort, extras: &Extras) -> Self {
        let again = extras.reconnect.clone().map(|reconnect| Again::new(port, reconnect));
        Self { host, tee: extras.tee.clone(), again, used: false }
    }

    /// Sends `bytes`. What nobody listens to is thrown away: the process must not block on its own output for that.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        if let Some(tee) = &self.tee
            && !tee.write(bytes).await
        {
            self.tee = None;
        }
        let Some(host) = &mut self.host else { return };
        self.used = true;
        if let Some(again) = &mut self.again {
            again.remember(bytes);
        }
        if let Err(error) = host.write_all(bytes).await {
            self.host = self.reconnect(&error).await;
        }
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
                    let _ = tokio::time::timeout(patience, host.read(&mut byte)).await;
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
        again.dial().await
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tokio::time::Instant;

    use super::*;

    /// How long, by virtual time, a host that does not close holds up what comes after these pieces of output.
    async fn held_up_after(pieces: &[&[u8]]) -> Duration {
        let (_host, ours) = tokio::net::UnixStream::pair().unwrap();
        let mut output = Output::new(Some(HostStream::Unix(ours)), VsockPort(1), &Extras::default());
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

    #[test]
    fn a_stream_without_a_host_is_copied_all_the_same() {
        let path = std::env::temp_dir().join(format!("tee-{}", std::process::id()));
        let tee = Some(Tee::new(File::create(&path).unwrap()).unwrap());
        let mut output = Output::new(None, VsockPort(1), &Extras { tee, reconnect: None });
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
