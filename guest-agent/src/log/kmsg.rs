//! Forwards the kernel's messages to the host (spec section 13).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::errno::Errno;

use super::{Admission, KernelMessage, RateLimit};
use crate::sys;

/// Longer than any record.
const RECORD: usize = 8 << 10;
/// Lines at once, as a boot or an oops has them, and the pause between further ones.
const BURST: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Logs every message of at most priority `level`, from the kernel's start on. Ends only with an error.
pub(crate) async fn forward(level: u8) -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let log = sys::async_fd(OwnedFd::from(file))?;
    let mut limit = RateLimit::new(BURST, PAUSE);
    let mut record = vec![0; RECORD];
    loop {
        let mut ready = log.readable().await?;
        match nix::unistd::read(ready.get_inner(), &mut record) {
            Ok(length) => {
                let message = KernelMessage::parse(&record[..length]);
                if let Some(message) = message.filter(|message| message.priority <= level) {
                    report(&message, &mut limit);
                }
            }
            Err(Errno::EAGAIN) => ready.clear_ready(),
            // EPIPE: records were overwritten; reading goes on with the oldest that is there.
            Err(Errno::EPIPE | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn report(message: &KernelMessage, limit: &mut RateLimit) {
    let Admission::Log(left_out) = limit.admit() else { return };
    if left_out > 0 {
        tracing::warn!(count = left_out, "kernel messages were left out");
    }
    tracing::info!(
        priority = message.priority_name(),
        facility = message.facility,
        seq = message.sequence,
        timesincebootmicro = message.micros,
        flags = message.flags,
        { super::json::MESSAGE_FIELD } = message.text,
        "kmsg read"
    );
}
