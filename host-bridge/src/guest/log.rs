//! The agent's log: JSON lines on vsock port 109 (guest protocol, section 13).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::transport::{GuestStream, Listener};

/// Lines that are kept for whoever asks later.
const KEPT: usize = 1024;
/// The longest line; a longer one is cut into several, which are then plain text.
const MAX_LINE: u64 = 64 * 1024;

/// Connections that are read at once: the agent's own, init's last words, and some that are just ending. Further ones
/// wait.
const READERS: usize = 8;

/// One line of the agent's log.
#[derive(Clone, Debug, PartialEq)]
pub enum LogLine {
    /// A JSON object, with its fields as sent.
    Json(Map<String, Value>),
    /// Anything else, such as the last words of a dying agent.
    Text(String),
}

impl LogLine {
    fn parse(line: &[u8]) -> Self {
        serde_json::from_slice(line)
            .map_or_else(|_| Self::Text(String::from_utf8_lossy(line).into_owned()), Self::Json)
    }

    /// The message itself.
    pub fn message(&self) -> &str {
        match self {
            Self::Json(fields) => fields.get("msg").and_then(Value::as_str).unwrap_or_default(),
            Self::Text(text) => text,
        }
    }
}

/// The log so far and from now on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logs {
    kept: Arc<Mutex<VecDeque<LogLine>>>,
    live: broadcast::Sender<LogLine>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { kept: Arc::default(), live: broadcast::channel(256).0 }
    }
}

impl Logs {
    fn lock(&self) -> MutexGuard<'_, VecDeque<LogLine>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: LogLine) {
        let mut kept = self.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line.clone());
        // Fails when nobody looks.
        let _ = self.live.send(line);
    }

    /// The lines that were kept.
    pub fn lines(&self) -> Vec<LogLine> {
        self.lock().iter().cloned().collect()
    }

    /// The lines so far, and those from now on.
    pub fn subscribe(&self) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let kept = self.lock();
        (kept.iter().cloned().collect(), self.live.subscribe())
    }

    /// Reads one connection of the log to its end.
    pub(super) async fn read(&self, stream: GuestStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.push(LogLine::parse(line.trim_ascii_end())),
            }
        }
    }

    /// Serves the log port until its transport ends: the agent may dial again.
    pub(super) async fn serve(self, mut listener: Listener) {
        let mut readers = JoinSet::new();
        while let Ok(stream) = listener.accept().await {
            let logs = self.clone();
            readers.spawn(async move { logs.read(stream).await });
            while readers.len() >= READERS {
                readers.join_next().await;
            }
            // Those that have ended meanwhile.
            while readers.try_join_next().is_some() {}
        }
        // What was begun is read to its end.
        readers.detach_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_guest_that_floods_the_port_is_read_by_a_few_at_a_time() {
        use std::io::Write;

        use lcow_protocol::ports;

        use crate::transport::Transport;

        let transport = Transport::default();
        let logs = Logs::default();
        let listener = transport.listen(ports::LOG).unwrap();
        let mut streams: Vec<_> =
            (0..3 * READERS).map(|_| transport.registry.offer(ports::LOG.0).unwrap()).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            writeln!(stream, "{number}").unwrap();
        }
        let (_, mut lines) = logs.subscribe();
        tokio::spawn(logs.clone().serve(listener));
        let mut seen = Vec::new();
        while seen.len() < READERS {
            seen.push(lines.recv().await.unwrap());
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(lines.try_recv().is_err(), "more are read than there may be readers");
        streams.clear();
        while seen.len() < 3 * READERS {
            seen.push(lines.recv().await.unwrap());
        }
    }

    #[test]
    fn lines_are_json_or_kept_as_text() {
        assert_eq!(LogLine::parse(br#"{"level":"info","msg":"hello"}"#).message(), "hello");
        assert_eq!(LogLine::parse(b"panicked at \xff"), LogLine::Text("panicked at \u{fffd}".into()));
    }
}
