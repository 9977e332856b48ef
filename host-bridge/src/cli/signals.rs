//! The signals that people and service managers send to `lcow`.

/// A signal that asks for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A plain `kill`.
    #[cfg_attr(not(unix), allow(dead_code))]
    Terminate,
    /// Ctrl-\.
    #[cfg_attr(not(unix), allow(dead_code))]
    Quit,
    /// The terminal has gone.
    #[cfg_attr(not(unix), allow(dead_code))]
    HangUp,
}

impl Signal {
    /// Its number on Linux.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }

    /// The status of what it has ended.
    pub(super) fn status(self) -> u8 {
        128 + self.number()
    }
}

#[cfg(unix)]
mod platform {
    use std::io;

    use tokio::signal::unix::{self, SignalKind, signal};

    use super::Signal;

    /// Catches the signals, from its making until the process ends.
    #[derive(Debug)]
    pub(in crate::cli) struct Signals {
        interrupt: unix::Signal,
        terminate: unix::Signal,
        quit: unix::Signal,
        hang_up: unix::Signal,
    }

    impl Signals {
        pub(in crate::cli) fn catch() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                quit: signal(SignalKind::quit())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        }

        /// Waits for the next one. Cancel safe.
        pub(in crate::cli) async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
                _ = self.quit.recv() => Signal::Quit,
                _ = self.hang_up.recv() => Signal::HangUp,
            }
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use std::io;

    use super::Signal;

    /// Catches Ctrl-C.
    #[derive(Debug)]
    pub(in crate::cli) struct Signals;

    impl Signals {
        #[allow(clippy::unnecessary_wraps)] // The signature is the other platform's.
        pub(in crate::cli) fn catch() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::cli) async fn next(&mut self) -> Signal {
            // Fails only when no handler can be installed; then Ctrl-C ends the process as usual.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            Signal::Interrupt
        }
    }
}

pub(super) use platform::Signals;
