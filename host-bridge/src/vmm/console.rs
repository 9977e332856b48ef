//! The machine's console: its last lines for error messages, and all of it for whoever wants to look.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

/// Bytes of output that are kept.
const KEPT: usize = 64 * 1024;

/// The output of a machine's console. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Console {
    kept: Arc<Mutex<VecDeque<u8>>>,
    live: broadcast::Sender<Arc<[u8]>>,
}

impl Default for Console {
    fn default() -> Self {
        Self { kept: Arc::default(), live: broadcast::channel(256).0 }
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
}
