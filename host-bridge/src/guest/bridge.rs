//! The bridge: requests by id, pipelined; notifications; a new connection when the old one is spoilt.
//!
//! A connection on which the guest sends what is no message is dropped, as stock hosts do, and the guest dials again;
//! waits for processes are asked again, other requests without an answer fail, the VM lives on. Ids go on across
//! connections, which tells the guest that it is still the same host (section 12.1).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lcow_protocol::envelope::{Message, RequestBase, ResponseBase};
use lcow_protocol::frame::{self, HEADER_LEN, Header, MAX_TO_GUEST, MAX_TO_HOST};
use lcow_protocol::messages::{ContainerNotification, NegotiateProtocol, PROTOCOL_VERSION, Request};
use lcow_protocol::{ContainerId, Kind, MessageType, VsockPort, json, ports};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{GuestError, Logs};
use crate::transport::{GuestStream, Listener, Transport, TransportError};

/// Longest wait for an answer, as in stock hosts (guest protocol, section 16.2); waits for processes have none.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);
/// Longest wait for a lost bridge to come back before a request fails. The guest redials every 100 ms.
const REDIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames that may wait for the writer.
const WRITE_QUEUE: usize = 64;

/// A container is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Which.
    pub container_id: ContainerId,
    /// How it ended.
    pub details: ContainerNotification,
}

/// A guest agent. Cheap to clone; all methods may be called at once from anywhere.
#[derive(Clone, Debug)]
pub struct Guest {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    logs: Logs,
    connection: watch::Sender<Option<Arc<Connection>>>,
    notifications: broadcast::Sender<Notification>,
    next_port: AtomicU32,
    next_id: Arc<AtomicU64>,
}

impl Guest {
    pub(super) fn new(transport: Transport, logs: Logs) -> Self {
        let shared = Shared {
            transport,
            logs,
            connection: watch::Sender::new(None),
            notifications: broadcast::channel(256).0,
            next_port: AtomicU32::new(ports::FIRST_STDIO.0),
            next_id: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The agent's log.
    pub fn logs(&self) -> &Logs {
        &self.shared.logs
    }

    /// Containers that end from now on.
    pub fn notifications(&self) -> broadcast::Receiver<Notification> {
        self.shared.notifications.subscribe()
    }

    /// Sends a request to a container, or to the VM with the null id, and waits for its answer.
    pub async fn call<R: Request>(
        &self,
        container: &ContainerId,
        request: R,
    ) -> Result<R::Response, GuestError> {
        let timeout = (R::TYPE != MessageType::WAIT_FOR_PROCESS).then_some(ANSWER_TIMEOUT);
        let base = RequestBase { container_id: container.clone(), ..RequestBase::default() };
        let body = Message { base, payload: request }.to_json().map_err(GuestError::Encode)?;
        let answer = loop {
            match self.call_raw(R::TYPE, &body, timeout).await {
                // A process can be waited for again; whether anything else was done cannot be known.
                Err(GuestError::Lost { .. })
                    if R::TYPE == MessageType::WAIT_FOR_PROCESS && self.returns().await => {}
                result => break result?,
            }
        };
        Ok(json::decode("an answer", &answer)?)
    }

    /// Sends any body as a request and returns the body of the answer; for tests of an agent's answers to nonsense.
    pub async fn call_raw(
        &self,
        message: MessageType,
        body: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Value, GuestError> {
        let connection = self.connection().await.ok_or(GuestError::Lost { message })?;
        connection.call(message, body, timeout).await
    }

    /// The present connection, or the next one if it comes soon.
    async fn connection(&self) -> Option<Arc<Connection>> {
        let mut current = self.shared.connection.subscribe();
        let connection =
            tokio::time::timeout(REDIAL_TIMEOUT, current.wait_for(Option::is_some)).await.ok()?.ok()?;
        connection.clone()
    }

    async fn returns(&self) -> bool {
        self.connection().await.is_some()
    }

    /// Serves the bridge port for as long as there is a transport. `first` gets the first negotiated connection.
    pub(super) async fn serve(self, mut listener: Listener, first: oneshot::Sender<Result<(), GuestError>>) {
        let mut first = Some(first);
        while let Ok(stream) = listener.accept().await {
            let (connection, reader) = Connection::open(stream, self.shared.next_id.clone());
            let notifications = self.shared.notifications.clone();
            let reading = connection.clone();
            let mut read = tokio::spawn(async move { reading.read(reader, &notifications).await });
            let negotiated = connection.negotiate().await;
            if let Err(error) = &negotiated {
                tracing::warn!(%error, "a bridge connection was refused");
            } else {
                self.shared.connection.send_replace(Some(connection));
            }
            let failed = negotiated.is_err();
            if let Some(first) = first.take() {
                // Nobody waits any more when booting was given up.
                let _ = first.send(negotiated);
            }
            if failed {
                read.abort();
                continue;
            }
            if let Ok(Err(error)) = (&mut read).await {
                tracing::warn!(%error, "dropped the bridge");
            }
            self.shared.connection.send_replace(None);
        }
    }

    /// Listens on a port of the host for this guest, such as that of a 9P server, until the listener is dropped.
    pub fn listen_on(&self, port: VsockPort) -> Result<Listener, TransportError> {
        self.shared.transport.listen(port)
    }

    /// Listens on a fresh stdio port, from 0x40000001 upward (guest protocol, section 2.1).
    pub(super) fn listen(&self) -> Result<Listener, TransportError> {
        loop {
            let port = self.shared.next_port.fetch_add(1, Ordering::Relaxed);
            if port <= ports::BRIDGE.0 || port == u32::MAX {
                // After two thousand million streams the numbers start again; those in use are skipped below.
                self.shared.next_port.store(ports::FIRST_STDIO.0, Ordering::Relaxed);
                continue;
            }
            match self.shared.transport.listen(VsockPort(port)) {
                Err(TransportError::PortTaken { .. }) => {}
                result => return result,
            }
        }
    }
}

/// Requests without an answer so far.
#[derive(Debug, Default)]
struct Waiting {
    closed: bool,
    answers: HashMap<u64, oneshot::Sender<Value>>,
}

/// One connection of the bridge.
#[derive(Debug)]
struct Connection {
    frames: mpsc::Sender<Vec<u8>>,
    waiting: Mutex<Waiting>,
    next_id: Arc<AtomicU64>,
}

impl Connection {
    fn open(stream: GuestStream, next_id: Arc<AtomicU64>) -> (Arc<Self>, ReadHalf<GuestStream>) {
        let (reader, writer) = tokio::io::split(stream);
        let (frames, queue) = mpsc::channel(WRITE_QUEUE);
        tokio::spawn(write_frames(writer, queue));
        (Arc::new(Self { frames, waiting: Mutex::default(), next_id }), reader)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn negotiate(&self) -> Result<(), GuestError> {
        let request =
            NegotiateProtocol { minimum_version: PROTOCOL_VERSION, maximum_version: PROTOCOL_VERSION };
        let body = Message { base: RequestBase::default(), payload: request }
            .to_json()
            .map_err(GuestError::Encode)?;
        let answer = self.call(NegotiateProtocol::TYPE, &body, Some(ANSWER_TIMEOUT)).await?;
        let version = answer["Version"].as_u64().and_then(|version| u32::try_from(version).ok()).unwrap_or(0);
        let os = answer["Capabilities"]["RuntimeOsType"].as_str().unwrap_or("Windows").to_owned();
        if version == PROTOCOL_VERSION && os == "Linux" {
            Ok(())
        } else {
            Err(GuestError::Protocol { version, os })
        }
    }

    async fn call(
        &self,
        message: MessageType,
        body: &[u8],
        timeout: Option<Duration>,
    ) -> Result<Value, GuestError> {
        let lost = || GuestError::Lost { message };
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut waiting = self.waiting();
            if waiting.closed {
                return Err(lost());
            }
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            waiting.answers.insert(id, sender);
            id
        };
        // Forgets the request on every way out; a late answer is then ignored.
        let _forget = Forget { connection: self, id };
        let frame = frame::encode(message, id, body, MAX_TO_GUEST)?;
        self.frames.send(frame).await.map_err(|_| lost())?;
        let answer = match timeout {
            Some(limit) => tokio::time::timeout(limit, answer)
                .await
                .map_err(|_| GuestError::Timeout { message, seconds: limit.as_secs() })?,
            None => answer.await,
        };
        let answer = answer.map_err(|_| lost())?;
        let base: ResponseBase = json::decode("an answer", &answer)?;
        if base.result.is_ok() {
            Ok(answer)
        } else {
            Err(GuestError::Refused { message, result: base.result, text: base.error_message })
        }
    }

    /// Reads until the connection ends or is spoilt; then everything that waits fails.
    async fn read(
        &self,
        mut reader: ReadHalf<GuestStream>,
        notifications: &broadcast::Sender<Notification>,
    ) -> Result<(), GuestError> {
        let result = loop {
            match self.read_one(&mut reader, notifications).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.answers.clear();
        result
    }

    /// Reads one frame; false at the end of the connection.
    async fn read_one(
        &self,
        reader: &mut ReadHalf<GuestStream>,
        notifications: &broadcast::Sender<Notification>,
    ) -> Result<bool, GuestError> {
        let mut raw = [0; HEADER_LEN];
        if reader.read_exact(&mut raw).await.is_err() {
            return Ok(false);
        }
        let header = Header::decode(&raw, MAX_TO_HOST)?;
        let mut body = vec![0; header.body_len as usize];
        if reader.read_exact(&mut body).await.is_err() {
            return Ok(false);
        }
        let body = json::parse(&body)?;
        match header.message_type.kind() {
            Kind::Response => self.on_response(header.id, body)?,
            Kind::Notification if header.message_type == MessageType::CONTAINER_NOTIFICATION => {
                let base: RequestBase = json::decode("a notification", &body)?;
                let details = json::decode("a notification", &body)?;
                // Fails when nobody is interested.
                let _ = notifications.send(Notification { container_id: base.container_id, details });
            }
            _ => return Err(GuestError::Message(format!("unexpected type {:?}", header.message_type))),
        }
        Ok(true)
    }

    fn on_response(&self, id: u64, body: Value) -> Result<(), GuestError> {
        let mut waiting = self.waiting();
        if let Some(sender) = waiting.answers.remove(&id) {
            // Fails when the caller has just given up.
            let _ = sender.send(body);
        } else if id >= self.next_id.load(Ordering::Relaxed) {
            return Err(GuestError::Message(format!("an answer to request {id}, which was never sent")));
        }
        Ok(())
    }
}

/// Takes a request off the list of those that wait.
struct Forget<'c> {
    connection: &'c Connection,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.connection.waiting().answers.remove(&self.id);
    }
}

async fn write_frames(mut writer: WriteHalf<GuestStream>, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = queue.recv().await {
        if writer.write_all(&frame).await.is_err() {
            // The reader sees the end, too.
            return;
        }
    }
}
