//! `dmesg`: what the kernel has said so far.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use crate::log::KernelMessage;

/// Longer records than the kernel makes.
const RECORD: usize = 16 << 10;

/// Prints the kernel's messages.
pub(crate) fn main(_: Vec<OsString>) -> ExitCode {
    match print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::failed_at("dmesg", Path::new("/dev/kmsg"), &error),
    }
}

fn print() -> io::Result<()> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let mut output = io::stdout().lock();
    let mut record = vec![0; RECORD];
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                if let Some(message) = KernelMessage::parse(&record[..length]) {
                    let (seconds, micros) = (message.micros / 1_000_000, message.micros % 1_000_000);
                    writeln!(output, "[{seconds:>5}.{micros:06}] {}", message.text)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Records were overwritten; reading goes on with the oldest that is there.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(error) => return Err(error),
        }
    }
}
