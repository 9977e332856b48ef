//! The thread that writes log lines, so that a host that accepts the log port and never reads holds up nobody: what
//! does not fit into the queue is dropped and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that may wait.
const CAPACITY: usize = 256 << 10;
/// The thread formats and writes lines; it needs no more than this.
const STACK: usize = 64 << 10;

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
    /// Taken out of the queue and not yet written.
    writing: bool,
}

/// Where lines go, and the line that says how many did not.
struct Output {
    sink: File,
    notice: Box<dyn Fn(u64) -> Vec<u8> + Send>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Until the thread has it.
    output: Mutex<Option<Output>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue's end for those who have something to say. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Shared>);

impl Writer {
    /// A queue for `sink`; nothing leaves it before [`Writer::run`]. `notice` makes the line that says how many lines
    /// were dropped.
    pub(super) fn new(sink: File, notice: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Self {
        let output = Output { sink, notice: Box::new(notice) };
        let (state, changed) = Default::default();
        Self(Arc::new(Shared { state, changed, output: Mutex::new(Some(output)) }))
    }

    /// Starts the thread, if that has not been done.
    pub(crate) fn run(&self) -> io::Result<()> {
        let output = self.0.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(output) = output else { return Ok(()) };
        let queue = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("gcs-log".to_owned()).stack_size(STACK);
        thread.spawn(move || write_all(&queue, output)).map(drop)
    }

    /// Queues a line, or drops it. Never blocks.
    pub(super) fn send(&self, line: Vec<u8>) {
        let mut state = self.0.lock();
        if state.bytes + line.len() > CAPACITY {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, but no longer than `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        if self.run().is_err() {
            // There is nowhere to report that either.
            return;
        }
        let deadline = Instant::now() + limit;
        let mut state = self.0.lock();
        while state.writing || !state.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self
                .0
                .changed
                .wait_timeout(state, left)
                .map_or_else(|p| p.into_inner().0, |(state, _)| state);
        }
    }
}

fn write_all(shared: &Shared, Output { mut sink, notice }: Output) {
    loop {
        let mut batch = Vec::new();
        {
            let mut state = shared.lock();
            while state.lines.is_empty() {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            for line in std::mem::take(&mut state.lines) {
                batch.extend(line);
            }
            state.bytes = 0;
            state.writing = true;
            let dropped = std::mem::take(&mut state.dropped);
            if dropped > 0 {
                batch.extend(notice(dropped));
            }
        }
        // There is nowhere to report that log lines were lost.
        let _ = sink.write_all(&batch);
        shared.lock().writing = false;
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read};

    use super::*;

    fn pipe() -> (File, File) {
        let (read, write) = nix::unistd::pipe().unwrap();
        (File::from(read), File::from(write))
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let (mut read, write) = pipe();
        let writer = Writer::new(write, |_| Vec::new());
        for number in 0..100 {
            writer.send(format!("{number}\n").into_bytes());
            if number == 50 {
                writer.run().unwrap();
            }
        }
        writer.flush(Duration::from_secs(10));
        let expected = (0..100).map(|number| format!("{number}\n")).collect::<Vec<_>>().concat();
        let mut text = vec![0; expected.len()];
        read.read_exact(&mut text).unwrap();
        assert_eq!(text, expected.as_bytes());
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_not_time() {
        let (read, write) = pipe();
        let notice = |dropped: u64| format!("dropped {dropped}\n").into_bytes();
        let writer = Writer::new(write, notice);
        writer.run().unwrap();
        // More than pipe, batch and queue hold together. That this returns at all is the test.
        for _ in 0..1000 {
            writer.send([vec![b'x'; 1023], vec![b'\n']].concat());
        }
        writer.flush(Duration::ZERO);
        let reader = thread::spawn(move || {
            let mut lines = io::BufReader::new(read).lines().map(Result::unwrap);
            // How often it was told that lines were dropped is chance.
            let seen: Vec<String> = lines.by_ref().take_while(|line| line != "end").collect();
            let dropped = seen.iter().filter_map(|line| line.strip_prefix("dropped "));
            let dropped: Vec<usize> = dropped.map(|count| count.parse().unwrap()).collect();
            (seen.iter().filter(|line| line.len() == 1023).count(), dropped)
        });
        writer.flush(Duration::from_mins(1));
        writer.send(b"end\n".to_vec());
        let (lines, dropped) = reader.join().unwrap();
        assert!(!dropped.is_empty());
        assert_eq!(lines + dropped.iter().sum::<usize>(), 1000);
    }
}
