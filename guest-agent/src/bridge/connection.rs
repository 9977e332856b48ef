//! Dials the bridge, serves it until it fails, and dials again.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use lcow_protocol::frame::{FrameError, HEADER_LEN, Header, MAX_TO_GUEST};
use lcow_protocol::ports;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::dispatch::Dispatcher;
use super::outbound::Item;
use crate::gcs::Agent;
use crate::transport::HostStream;

/// Pause before dialling again.
const REDIAL: Duration = Duration::from_millis(100);
/// Bodies are read in pieces of this size, so that a header's claim alone costs no memory.
const READ_CHUNK: usize = 256 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The stream failed.
    #[error("the bridge's stream")]
    Io(#[from] io::Error),
    /// The host sent something that is no frame.
    #[error("a malformed frame")]
    Frame(#[from] FrameError),
}

/// Serves the bridge; with `-use-inouterr` until the end of stdin, else for ever.
pub(crate) async fn serve(agent: Rc<Agent>) -> Result<(), Error> {
    if agent.options.use_stdio {
        return serve_one(&agent, tokio_stdin()?, tokio_stdout()?).await;
    }
    let mut failing = false;
    loop {
        match HostStream::dial(ports::BRIDGE).await {
            Ok(stream) => {
                failing = false;
                tracing::info!("bridge connected, serving");
                let (read, write) = tokio::io::split(stream);
                match serve_one(&agent, read, write).await {
                    Ok(()) => tracing::info!("the host closed the bridge"),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "the bridge failed");
                    }
                }
            }
            // Once per outage: the loop comes round ten times a second.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the bridge cannot be reached; trying on"
                );
            }
            Err(_) => {}
        }
        tokio::time::sleep(REDIAL).await;
    }
}

/// Serves one connection until either direction ends.
async fn serve_one(
    agent: &Rc<Agent>,
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
) -> Result<(), Error> {
    let (generation, mut frames) = agent.outbound.attach();
    let mut unwritten = None;
    let dispatcher = Dispatcher::new(Rc::clone(agent), generation);
    let result = tokio::select! {
        result = read_frames(read, dispatcher) => result,
        result = write_frames(write, &mut frames, &mut unwritten) => result.map_err(Error::from),
    };
    agent.outbound.detach(unwritten, frames);
    result
}

async fn read_frames(mut stream: impl AsyncRead + Unpin, mut dispatcher: Dispatcher) -> Result<(), Error> {
    loop {
        let mut header = [0; HEADER_LEN];
        if stream.read(&mut header[..1]).await? == 0 {
            return Ok(());
        }
        stream.read_exact(&mut header[1..]).await?;
        let header = Header::decode(&header, MAX_TO_GUEST)?;
        let body = read_body(&mut stream, header.body_len as usize).await?;
        dispatcher.dispatch(header, &body);
    }
}

async fn read_body(stream: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(length.min(READ_CHUNK));
    let mut limited = stream.take(length as u64);
    while body.len() < length {
        body.reserve(READ_CHUNK.min(length - body.len()));
        if limited.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(body)
}

/// Writes whole frames, one after the other. A frame on its way when the connection fails is left in `current`.
async fn write_frames(
    mut stream: impl AsyncWrite + Unpin,
    frames: &mut mpsc::UnboundedReceiver<Item>,
    current: &mut Option<Item>,
) -> io::Result<()> {
    while let Some(item) = frames.recv().await {
        let item = current.insert(item);
        stream.write_all(&item.frame).await?;
        stream.flush().await?;
        if let Some(written) = current.take().and_then(|item| item.written) {
            written();
        }
    }
    Ok(())
}

fn tokio_stdin() -> io::Result<impl AsyncRead + Unpin> {
    tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(stdio(0)?)
}

fn tokio_stdout() -> io::Result<impl AsyncWrite + Unpin> {
    tokio::net::unix::pipe::Sender::from_owned_fd_unchecked(stdio(1)?)
}

/// A copy of a standard stream that does not block.
fn stdio(number: u8) -> io::Result<std::os::fd::OwnedFd> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::os::fd::AsFd;
    let fd = if number == 0 {
        io::stdin().as_fd().try_clone_to_owned()?
    } else {
        io::stdout().as_fd().try_clone_to_owned()?
    };
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(fd)
}
