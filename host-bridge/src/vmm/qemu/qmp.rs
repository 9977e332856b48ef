//! The QEMU Machine Protocol: JSON lines, requests answered by id, events in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QmpError {
    /// QEMU said no.
    #[error("{0}")]
    Refused(String),
    /// QEMU has gone.
    #[error("QEMU has ended")]
    Gone,
}

type Answer = Result<Value, QmpError>;

/// Requests without an answer so far; `None` after QEMU has gone.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

fn lock(waiting: &Waiting) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub(super) struct Qmp {
    writer: tokio::sync::Mutex<Writer>,
    waiting: Waiting,
}

#[derive(Debug)]
struct Writer {
    half: OwnedWriteHalf,
    next_id: u64,
}

impl Qmp {
    /// Starts a conversation; events go to `events` until QEMU ends.
    pub(super) async fn connect(
        stream: UnixStream,
        events: mpsc::UnboundedSender<Value>,
    ) -> Result<Self, QmpError> {
        let (read, half) = stream.into_split();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(read_all(read, waiting.clone(), events));
        let qmp = Self { writer: tokio::sync::Mutex::new(Writer { half, next_id: 0 }), waiting };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Executes one command and returns what it returns.
    pub(super) async fn execute(&self, command: &str, arguments: Value) -> Answer {
        let (sender, answer) = oneshot::channel();
        self.send(command, arguments, sender).await?;
        answer.await.unwrap_or(Err(QmpError::Gone))
    }

    async fn send(
        &self,
        command: &str,
        arguments: Value,
        sender: oneshot::Sender<Answer>,
    ) -> Result<(), QmpError> {
        // An asynchronous lock: it keeps the lines of two requests apart.
        let mut writer = self.writer.lock().await;
        let id = writer.next_id;
        writer.next_id += 1;
        lock(&self.waiting).as_mut().ok_or(QmpError::Gone)?.insert(id, sender);
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        writer.half.write_all(line.as_bytes()).await.map_err(|_| QmpError::Gone)
    }
}

async fn read_all(read: OwnedReadHalf, waiting: Waiting, events: mpsc::UnboundedSender<Value>) {
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if message.get("event").is_some() {
            // Fails when nobody is interested any more.
            let _ = events.send(message);
        } else if let Some(id) = message["id"].as_u64() {
            let sender = lock(&waiting).as_mut().and_then(|waiting| waiting.remove(&id));
            if let Some(sender) = sender {
                let _ = sender.send(answer(message));
            }
        }
    }
    // Dropping the senders fails all that wait.
    lock(&waiting).take();
}

fn answer(mut message: Value) -> Answer {
    match message.get("error") {
        Some(error) => Err(QmpError::Refused(error["desc"].as_str().unwrap_or("no reason given").to_owned())),
        None => Ok(message["return"].take()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (Qmp, BufReader<UnixStream>, mpsc::UnboundedReceiver<Value>) {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let (sender, events) = mpsc::unbounded_channel();
        let mut theirs = BufReader::new(theirs);
        let serve = async {
            let mut line = String::new();
            theirs.write_all(b"{\"QMP\": {}}\n").await.expect("greeting");
            theirs.read_line(&mut line).await.expect("capabilities");
            theirs.write_all(b"{\"return\": {}, \"id\": 0}\n").await.expect("answer");
        };
        let (qmp, ()) = tokio::join!(Qmp::connect(ours, sender), serve);
        (qmp.expect("negotiated"), theirs, events)
    }

    #[tokio::test]
    async fn answers_find_their_requests_in_any_order() {
        let (qmp, mut theirs, mut events) = pair().await;
        let serve = async {
            let mut line = String::new();
            theirs.read_line(&mut line).await.expect("first");
            theirs.read_line(&mut line).await.expect("second");
            let text = "{\"event\": \"STOP\"}\nnonsense\n{\"error\": {\"desc\": \"no\"}, \"id\": 2}\n{\"return\": 7, \"id\": 1}\n";
            theirs.write_all(text.as_bytes()).await.expect("answers");
        };
        let (first, second, ()) =
            tokio::join!(qmp.execute("a", json!({})), qmp.execute("b", json!({})), serve);
        assert_eq!(first, Ok(json!(7)));
        assert_eq!(second, Err(QmpError::Refused("no".into())));
        assert_eq!(events.recv().await.expect("event")["event"], "STOP");
    }

    #[tokio::test]
    async fn a_vanished_monitor_fails_what_waits_and_what_comes() {
        let (qmp, theirs, _events) = pair().await;
        let (answer, ()) = tokio::join!(qmp.execute("a", json!({})), async { drop(theirs) });
        assert_eq!(answer, Err(QmpError::Gone));
        assert_eq!(qmp.execute("b", json!({})).await, Err(QmpError::Gone));
    }
}
