//! A host implementation of the tests' own: byte for byte what the protocol says, nothing of host-bridge.
//!
//! It stands behind the Unix sockets of `lcow uvm boot --vsock-uds`, as other people's hosts do, and holds every frame
//! of the agent against the rules whose breach makes a real host drop the bridge.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lcow_protocol::envelope::{Message, RequestBase};
use lcow_protocol::frame::{HEADER_LEN, Header, MAX_TO_GUEST, MAX_TO_HOST, encode};
use lcow_protocol::messages::{
    ExecuteProcess, ExecuteProcessSettings, NegotiateProtocol, ProcessParameters, Request, StdioPorts,
};
use lcow_protocol::{ContainerId, Kind, MessageType, VsockPort, json::Stringified, ports, strict_host};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::command::UvmBoot;

/// Longest wait for the guest; a limit for hangs, not a measure.
const LIMIT: Duration = Duration::from_mins(1);

/// A utility VM and the sockets of its host.
#[derive(Debug)]
pub struct ForeignHost {
    // Dropped first: nothing of the VM uses the directory any more when that goes.
    boot: UvmBoot,
    bridge: UnixListener,
    log: UnixStream,
    next_port: u32,
    directory: tempfile::TempDir,
}

impl ForeignHost {
    /// Boots a VM with these further arguments, gives it entropy and takes its log.
    pub async fn boot(args: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let listen = |port: VsockPort| UnixListener::bind(directory.path().join(format!("vm_{port}")));
        let (entropy, log, bridge) = (listen(ports::ENTROPY)?, listen(ports::LOG)?, listen(ports::BRIDGE)?);
        let boot = UvmBoot::start(&directory.path().join("vm"), args)?;
        let mut taker = accept(&entropy).await.context("the guest does not ask for entropy")?;
        taker.write_all(&[0x5a; ports::ENTROPY_BYTES]).await?;
        drop(taker);
        let log = accept(&log).await.context("the agent's log does not connect")?;
        Ok(Self { boot, bridge, log, next_port: ports::FIRST_STDIO.0, directory })
    }

    /// The running command.
    pub fn command(&mut self) -> &mut UvmBoot {
        &mut self.boot
    }

    /// Names in the directory of the sockets.
    pub fn files(&self) -> Result<Vec<String>> {
        let names = std::fs::read_dir(self.directory.path())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<std::io::Result<_>>()?;
        names.sort();
        Ok(names)
    }

    /// Takes the guest's next dial of the bridge; nothing is negotiated yet.
    pub async fn accept(&self) -> Result<Bridge> {
        let stream = accept(&self.bridge).await.context("the agent does not dial the bridge")?;
        Ok(Bridge { stream, next_id: 0 })
    }

    /// A negotiated bridge whose ids begin with `first_id`.
    pub async fn connect(&self, first_id: u64) -> Result<Bridge> {
        let mut bridge = self.accept().await?;
        bridge.next_id = first_id;
        bridge.negotiate().await?;
        Ok(bridge)
    }

    /// The next line of the agent's log.
    pub async fn log_line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(tokio::time::timeout(LIMIT, self.log.read_u8()).await.context("no log")??);
        }
        Ok(String::from_utf8(line)?)
    }

    /// A fresh port for stdio, and its socket.
    pub fn listen(&mut self) -> Result<(VsockPort, UnixListener, PathBuf)> {
        let port = VsockPort(self.next_port);
        self.next_port += 1;
        let path = self.socket(port);
        Ok((port, UnixListener::bind(&path)?, path))
    }

    /// The port of the last [`Self::listen`].
    pub fn last_port(&self) -> VsockPort {
        VsockPort(self.next_port - 1)
    }

    /// Where the guest finds a port.
    pub fn socket(&self, port: VsockPort) -> PathBuf {
        self.directory.path().join(format!("vm_{port}"))
    }

    /// Starts a shell script in the VM with its standard input or output connected; returns its pid and the stream.
    pub async fn shell(
        &mut self,
        bridge: &mut Bridge,
        script: &str,
        stream: Stream,
    ) -> Result<(u64, UnixStream)> {
        let (port, listener, path) = self.listen()?;
        let (input, output) = (stream == Stream::Input, stream == Stream::Output);
        let process_parameters = Stringified(ProcessParameters {
            command_args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            working_directory: "/".to_owned(),
            environment: [("PATH".to_owned(), "/bin".to_owned())].into(),
            create_std_in_pipe: input,
            create_std_out_pipe: output,
            ..ProcessParameters::default()
        });
        let mut relay = StdioPorts::default();
        *(if input { &mut relay.stdin } else { &mut relay.stdout }) = port;
        let settings = ExecuteProcessSettings { process_parameters, vsock_stdio_relay_settings: relay };
        let id = bridge.request(&ContainerId::null(), ExecuteProcess { settings }).await?;
        let stream = accept(&listener).await.context("the process's stream does not connect")?;
        std::fs::remove_file(path)?;
        let answer = bridge.answer(id).await?;
        ensure!(answer["Result"] == 0, "{answer}");
        Ok((answer["ProcessId"].as_u64().context("a pid")?, stream))
    }
}

/// Which stream of a process is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
}

/// Takes the guest's next dial.
pub async fn accept(listener: &UnixListener) -> Result<UnixStream> {
    Ok(tokio::time::timeout(LIMIT, listener.accept()).await.context("no dial")??.0)
}

/// One connection of the bridge.
#[derive(Debug)]
pub struct Bridge {
    stream: UnixStream,
    next_id: u64,
}

impl Bridge {
    /// The next request has the number `id`, as after a migration.
    pub fn skip_to(&mut self, id: u64) {
        self.next_id = id;
    }

    /// Sends any bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// A frame with the next id, which is returned with it.
    pub fn frame(&mut self, message: MessageType, body: &[u8]) -> Result<(u64, Vec<u8>)> {
        let id = self.next_id;
        self.next_id += 1;
        Ok((id, encode(message, id, body, MAX_TO_GUEST)?))
    }

    /// Sends a frame with any body and returns its id.
    pub async fn send(&mut self, message: MessageType, body: &[u8]) -> Result<u64> {
        let (id, frame) = self.frame(message, body)?;
        self.send_bytes(&frame).await?;
        Ok(id)
    }

    /// Sends a request and returns its id.
    pub async fn request<R: Request>(&mut self, container: &ContainerId, request: R) -> Result<u64> {
        let base = RequestBase { container_id: container.clone(), ..RequestBase::default() };
        let body = Message { base, payload: request }.to_json()?;
        self.send(R::TYPE, &body).await
    }

    /// Reads one frame, which must obey the rules of a strict host.
    pub async fn receive(&mut self) -> Result<(Header, Value)> {
        let read = async {
            let mut frame = vec![0; HEADER_LEN];
            self.stream.read_exact(&mut frame).await?;
            let header = Header::decode(frame.first_chunk().context("a header")?, MAX_TO_HOST)?;
            frame.resize(HEADER_LEN + header.body_len as usize, 0);
            self.stream.read_exact(&mut frame[HEADER_LEN..]).await?;
            let violation = strict_host::violation(&frame);
            ensure!(violation.is_none(), "a real host would drop the bridge: {violation:?}");
            Ok((header, serde_json::from_slice(&frame[HEADER_LEN..])?))
        };
        tokio::time::timeout(LIMIT, read).await.context("the agent does not answer")?
    }

    /// Reads the answer to a request; no other answer may come before it.
    pub async fn answer(&mut self, id: u64) -> Result<Value> {
        let (header, body) = self.receive().await?;
        ensure!(header.message_type.kind() == Kind::Response && header.id == id, "{header:?} {body}");
        Ok(body)
    }

    /// Agrees on the protocol.
    pub async fn negotiate(&mut self) -> Result<()> {
        let request = NegotiateProtocol { minimum_version: 4, maximum_version: 4 };
        let id = self.request(&ContainerId::default(), request).await?;
        let answer = self.answer(id).await?;
        ensure!(answer["Result"] == 0 && answer["Version"] == 4, "{answer}");
        Ok(())
    }

    /// Fails unless the guest drops this connection.
    pub async fn dropped(mut self) -> Result<()> {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LIMIT, self.stream.read_to_end(&mut rest)).await;
        // A reset and the end of the stream are both a drop.
        let _ = read.context("the agent keeps the connection")?;
        ensure!(rest.is_empty(), "an answer to garbage: {rest:?}");
        Ok(())
    }
}
