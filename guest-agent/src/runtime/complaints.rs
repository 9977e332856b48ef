//! What libcontainer says only to its log when it fails: which path, which system call's error.
//!
//! It runs in the worker and in what that makes, and its errors go from one process to the next as text without causes.
//! So the worker makes a pipe, which they all inherit, and what is logged as an error goes in. Nothing is there to be read
//! unless something has failed. `gcs`'s own subscriber has no part in this: its queue is another process's.

use std::fmt::{self, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::messages::JobFailure;

/// Bytes of one complaint; the rest is cut off. Less than what a pipe takes at once.
const LONGEST: usize = 1 << 10;
/// Complaints that are passed on. The first was made next to the cause, later ones further away from it.
const MOST: usize = 2;
/// Bytes that are read: as many as that may need, and some more for those that only repeat.
const READ: usize = 4 << 10;

/// The end of the pipe to read from.
pub(super) struct Complaints(OwnedFd);

impl Complaints {
    /// Begins to collect, in this process and all that it makes; `None` if that cannot be.
    pub(super) fn collect() -> Option<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        tracing::subscriber::set_global_default(Collector(write)).ok()?;
        Some(Self(read))
    }

    /// Adds to `failure` what was said before it.
    pub(super) fn explain(&self, mut failure: JobFailure) -> JobFailure {
        let mut said = [0; READ];
        // Nothing was said if there is nothing to read.
        let count = nix::unistd::read(&self.0, &mut said).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[..count]);
        failure.text = with(&failure.text, &said);
        failure
    }
}

/// `text` and the first lines of `said` that add something: most that follow only say whose failure it has become.
fn with(text: &str, said: &str) -> String {
    let repeats = |line: &str| text.contains(line.split_once(": ").map_or(line, |(_, cause)| cause));
    let new: Vec<&str> = said.lines().filter(|line| !repeats(line)).take(MOST).collect();
    [&[text], &new[..]].concat().join("; ")
}

/// Puts what is logged as an error into the pipe, one line each.
struct Collector(OwnedFd);

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == tracing::Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { bytes: [0; LONGEST], length: 0 };
        event.record(&mut line);
        line.bytes[line.length] = b'\n';
        // A full pipe has more in it than is passed on.
        let _ = nix::unistd::write(&self.0, &line.bytes[..=line.length]);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event's message and fields; on the stack, because of what libcontainer may have done to the process.
struct Line {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One byte is left for the end of the line.
        for byte in text.bytes().take(LONGEST - 1 - self.length) {
            self.bytes[self.length] = if byte == b'\n' { b' ' } else { byte };
            self.length += 1;
        }
        Ok(())
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.length == 0 { "" } else { " " };
        // Writing here does not fail, and what does not fit is left out.
        let _ = match field.name() {
            "message" => write!(self, "{space}{value:?}"),
            name => write!(self, "{space}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a failure after `log` has run.
    fn explained(log: impl FnOnce()) -> String {
        let (read, write) = pipe2(OFlag::O_NONBLOCK).unwrap();
        tracing::subscriber::with_default(Collector(write), log);
        Complaints(read).explain(JobFailure::other("creating")).text
    }

    #[test]
    fn the_first_errors_that_add_something_are_passed_on() {
        let text = explained(|| {
            tracing::warn!("not this");
            tracing::error!(path = ?"/dev/x", "making a\nnode");
            tracing::error!("failed: {}", "creating");
            tracing::error!("giving up");
            tracing::error!("really");
        });
        assert_eq!(text, "creating; making a node path=\"/dev/x\"; giving up");
        assert_eq!(explained(|| {}), "creating");
    }

    #[test]
    fn neither_long_nor_many_errors_do_harm() {
        let text = explained(|| {
            for _ in 0..1000 {
                tracing::error!("{}", "x".repeat(2 * LONGEST));
            }
        });
        let one = "x".repeat(LONGEST - 1);
        assert_eq!(text, format!("creating; {one}; {one}"));
    }
}
