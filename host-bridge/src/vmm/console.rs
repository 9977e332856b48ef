//! The machine's console: its last lines for error messages, and all of it for whoever wants to look.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

/// Bytes of output that are kept.
const KEPT: usize = 64 * 1024;
/// Pieces of output, often of a few bytes, that may wait for one who looks.
const WAITING: usize = 4096;
/// Lines in an error message.
const TAIL: usize = 10;

/// The output of a machine's console. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Console {
    kept: Arc<Mutex<VecDeque<u8>>>,
    live: broadcast::Sender<Arc<[u8]>>,
}

impl Default for Console {
    fn default() -> Self {
        Self { kept: Arc::default(), live: broadcast::channel(WAITING).0 }
    }
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        // Bytes are valid whatever happened to the thread that added some.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg_attr(not(target_os = "linux"), allow(dead_code))] // Written by the QEMU back end only.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        kept.extend(bytes);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
        // Fails when nobody looks. Sent under the lock, so that a subscriber sees every byte once.
        let _ = self.live.send(bytes.into());
    }

    /// Output from now on, with what was kept so far.
    pub fn subscribe(&self) -> (Vec<u8>, broadcast::Receiver<Arc<[u8]>>) {
        let kept = self.lock();
        (kept.iter().copied().collect(), self.live.subscribe())
    }

    /// The end of the output for an error message, with the line that tells of a panic even if much follows it.
    pub fn tail(&self) -> String {
        let lines = self.last_lines(usize::MAX);
        let start = lines.len().saturating_sub(TAIL);
        let panic = lines[..start].iter().rev().find(|line| line.contains("Kernel panic"));
        let shown: Vec<&str> = panic.into_iter().chain(&lines[start..]).map(String::as_str).collect();
        if shown.is_empty() {
            return "the console is empty".into();
        }
        format!("last console lines:\n{}", shown.join("\n"))
    }

    /// The last `count` lines that are not empty.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let bytes: Vec<u8> = self.lock().iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_survive_a_flood() {
        let console = Console::default();
        for number in 0..20_000 {
            console.push(format!("line {number}\r\n\r\n").as_bytes());
        }
        assert_eq!(console.last_lines(2), ["line 19998", "line 19999"]);
        assert!(console.subscribe().0.len() <= KEPT);
    }

    #[test]
    fn the_tail_keeps_the_panic() {
        let console = Console::default();
        assert_eq!(console.tail(), "the console is empty");
        console.push(b"[1] Kernel panic - not syncing: no init\n");
        for number in 0..20 {
            console.push(format!("register {number}\n").as_bytes());
        }
        let tail = console.tail();
        assert!(
            tail.contains("no init") && tail.ends_with("register 19") && !tail.contains("register 9\n"),
            "{tail}"
        );
    }
}
