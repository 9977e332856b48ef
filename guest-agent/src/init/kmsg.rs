//! PID 1's own messages, which go to the kernel log and so to the console.

use std::fs::{File, OpenOptions};
use std::io::Write;

/// The kernel log; nothing happens when it cannot be opened, because there is nobody to tell.
pub(super) struct Kmsg(Option<File>);

impl Kmsg {
    /// Opens the log.
    pub(super) fn open() -> Self {
        Self(OpenOptions::new().write(true).open("/dev/kmsg").ok())
    }

    /// Priority 3.
    pub(super) fn error(&self, text: &str) {
        self.write(3, text);
    }

    /// Priority 4.
    pub(super) fn warning(&self, text: &str) {
        self.write(4, text);
    }

    /// Priority 6.
    pub(super) fn info(&self, text: &str) {
        self.write(6, text);
    }

    fn write(&self, priority: u8, text: &str) {
        if let Some(mut log) = self.0.as_ref() {
            let _ = log.write_all(format!("<{priority}>{text}\n").as_bytes());
        }
    }
}
