//! Terminals: the master of a pseudo-terminal, and the socket on which a container's runtime hands it over.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;

use crate::sys;

/// The master side.
#[derive(Debug)]
pub(crate) struct Pty(AsyncFd<OwnedFd>);

impl Pty {
    /// Takes over a master.
    pub(crate) fn new(master: OwnedFd) -> io::Result<Self> {
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self(sys::async_fd(master)?))
    }

    /// A new terminal; the second half is the one that a process gets.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let pair = nix::pty::openpty(None, None)?;
        for fd in [&pair.master, &pair.slave] {
            fcntl(fd, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
        }
        Ok((Self::new(pair.master)?, pair.slave))
    }

    /// Sets the size in rows and columns.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        Ok(sys::set_window_size(self.0.get_ref(), rows, columns)?)
    }

    /// Reads what the processes have written. An error means that the last of them is gone.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |fd| Ok(nix::unistd::read(fd, buffer)?)).await
    }

    /// Writes all of it as if typed.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.0.async_io(Interest::WRITABLE, |fd| Ok(nix::unistd::write(fd, bytes)?)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

/// How long the runtime may take to hand over a terminal.
const PATIENCE: Duration = Duration::from_mins(1);

/// A listening socket in `/run` that goes away with the value.
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// Opens a socket with a name of its own.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = directory.join(format!("console-{}.sock", NEXT.fetch_add(1, Ordering::Relaxed)));
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the terminal, which becomes that of the user `owner`, as pipes do: who may write to a program's output may
    /// open it, too.
    pub(crate) async fn receive(self, owner: u32) -> io::Result<Pty> {
        let pty = self.accept().await?;
        nix::unistd::fchown(sys::terminal_peer(pty.0.get_ref())?, Some(owner.into()), None)?;
        Ok(pty)
    }

    async fn accept(self) -> io::Result<Pty> {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        loop {
            stream.readable().await?;
            match stream.try_io(Interest::READABLE, || receive_fd(stream.as_raw_fd())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Pty::new(result?),
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // Nothing depends on it: names are never used twice.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn receive_fd(socket: RawFd) -> io::Result<OwnedFd> {
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut name = [0; 64];
    let mut slices = [IoSliceMut::new(&mut name)];
    let message = recvmsg::<UnixAddr>(socket, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control
            && let Some(fd) = fds.first()
        {
            return Ok(sys::own_received_fd(*fd));
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the runtime sent no terminal"))
}
