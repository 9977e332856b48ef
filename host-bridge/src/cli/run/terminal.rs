//! The user's terminal: its size, and raw mode that always ends.

use std::io::{self, IsTerminal};

use lcow_oci::spec::Terminal;

#[cfg(not(unix))]
pub(super) use other::{Raw, Resizes};
#[cfg(unix)]
pub(super) use unix::{Raw, Resizes};

/// The terminal for a container with `-t`, if ours is one.
pub(super) fn wanted(interactive: bool) -> anyhow::Result<Terminal> {
    let (input, output) = (io::stdin().is_terminal(), io::stdout().is_terminal());
    if interactive && !input {
        anyhow::bail!("-t with -i: standard input is not a terminal");
    }
    if !input && !output {
        anyhow::bail!("-t: neither standard input nor standard output is a terminal");
    }
    Ok(size()?)
}

/// The size of our terminal.
pub(super) fn size() -> io::Result<Terminal> {
    #[cfg(unix)]
    return unix::size();
    #[cfg(not(unix))]
    return Err(io::Error::new(io::ErrorKind::Unsupported, "terminals are not supported on this system yet"));
}

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal};

    use lcow_oci::spec::Terminal;
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) fn size() -> io::Result<Terminal> {
        let standard =
            if io::stdin().is_terminal() { rustix::stdio::stdin() } else { rustix::stdio::stdout() };
        let size = tcgetwinsize(standard)?;
        Ok(Terminal { height: size.ws_row, width: size.ws_col })
    }

    /// Raw mode: what is typed goes to the container as it is. It ends when this is dropped, also by a panic; signals
    /// that would end the process are caught as long as a container runs.
    #[derive(Debug)]
    pub(in crate::cli::run) struct Raw(Termios);

    impl Raw {
        pub(in crate::cli::run) fn enter() -> io::Result<Self> {
            let stdin = rustix::stdio::stdin();
            let before = tcgetattr(stdin)?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(stdin, OptionalActions::Now, &raw)?;
            Ok(Self(before))
        }
    }

    impl Drop for Raw {
        fn drop(&mut self) {
            // Fails when the terminal has gone; then nobody misses it.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
        }
    }

    /// Tells when the terminal changes its size.
    #[derive(Debug)]
    pub(in crate::cli::run) struct Resizes(Signal);

    impl Resizes {
        pub(in crate::cli::run) fn watch() -> io::Result<Self> {
            signal(SignalKind::window_change()).map(Self)
        }

        /// Waits for the next change. Cancel safe.
        pub(in crate::cli::run) async fn next(&mut self) {
            self.0.recv().await;
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::io;

    /// Raw mode; not there yet.
    #[derive(Debug)]
    pub(in crate::cli::run) struct Raw;

    impl Raw {
        pub(in crate::cli::run) fn enter() -> io::Result<Self> {
            super::size().map(|_| Self)
        }
    }

    /// Changes of the terminal's size; not there yet.
    #[derive(Debug)]
    pub(in crate::cli::run) struct Resizes;

    impl Resizes {
        pub(in crate::cli::run) fn watch() -> io::Result<Self> {
            super::size().map(|_| Self)
        }

        pub(in crate::cli::run) async fn next(&mut self) {
            std::future::pending::<()>().await;
        }
    }
}
