//! The first minutes: entropy, log and bridge, in the order that hosts enforce (guest protocol, sections 1 and 16.1).

use std::io;
use std::time::{Duration, Instant};

use lcow_protocol::ports;
use tokio::io::AsyncWriteExt;
use tokio::sync::{oneshot, watch};

use super::{Guest, GuestError, Logs};
use crate::transport::{Listener, Transport, TransportError};

/// How far a guest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was heard of it: firmware, kernel, or `/init` before its first dial.
    Kernel,
    /// `/init` has fetched its entropy.
    Entropy,
    /// The agent's log is connected.
    Log,
    /// The bridge is connected and has agreed on a protocol.
    Negotiated,
}

impl Stage {
    /// What did not happen.
    pub fn missing(self) -> &'static str {
        match self {
            Self::Kernel => "neither the kernel nor /init was heard of (no dial to the entropy port)",
            Self::Entropy => "/init fetched its entropy, but nothing connected to the log port",
            Self::Log => "the agent's log is connected, but no bridge was negotiated",
            Self::Negotiated => "the bridge was negotiated",
        }
    }
}

/// Times since the machine was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootTimes {
    /// `/init` dialled for entropy.
    pub entropy: Duration,
    /// The log was connected.
    pub log: Duration,
    /// The protocol was agreed on.
    pub negotiated: Duration,
}

/// The listeners that must exist before a machine starts.
#[derive(Debug)]
pub(crate) struct Doors {
    transport: Transport,
    entropy: Listener,
    log: Listener,
    bridge: Listener,
}

impl Doors {
    pub(crate) fn open(transport: &Transport) -> Result<Self, TransportError> {
        Ok(Self {
            transport: transport.clone(),
            entropy: transport.listen(ports::ENTROPY)?,
            log: transport.listen(ports::LOG)?,
            bridge: transport.listen(ports::BRIDGE)?,
        })
    }
}

fn stream(operation: &'static str) -> impl Fn(io::Error) -> GuestError {
    move |source| GuestError::Stream { operation, source }
}

/// Serves a booting guest until its protocol is agreed on; `stage` follows. The caller bounds the time, and says when it
/// began.
pub(crate) async fn connect(
    doors: Doors,
    start: Instant,
    stage: &watch::Sender<Stage>,
) -> Result<(Guest, BootTimes), GuestError> {
    let Doors { transport, mut entropy, mut log, bridge } = doors;
    let mut times = BootTimes::default();

    let mut seed = [0; ports::ENTROPY_BYTES];
    getrandom::fill(&mut seed).map_err(|error| stream("gather entropy")(io::Error::other(error)))?;
    let mut taker = entropy.accept().await.map_err(stream("accept the entropy connection"))?;
    times.entropy = start.elapsed();
    taker.write_all(&seed).await.map_err(stream("send entropy"))?;
    drop(taker);
    stage.send_replace(Stage::Entropy);

    let logs = Logs::default();
    let first_log = log.accept().await.map_err(stream("accept the log connection"))?;
    times.log = start.elapsed();
    stage.send_replace(Stage::Log);
    let reader = logs.clone();
    tokio::spawn(async move { reader.read(first_log).await });
    tokio::spawn(logs.clone().serve(log));

    let guest = Guest::new(transport, logs);
    let (sender, negotiated) = oneshot::channel();
    tokio::spawn(guest.clone().serve(bridge, sender));
    negotiated.await.unwrap_or(Err(GuestError::Message("the bridge's port was closed".into())))?;
    times.negotiated = start.elapsed();
    stage.send_replace(Stage::Negotiated);
    Ok((guest, times))
}
