//! When the main program has ended and should not have: the reason goes to the console and to the host's log port.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::kmsg::Kmsg;
use crate::{log, transport, vsockexec};

/// How long the host may take to accept and read one line.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says that `program` ended with `status`.
pub(super) fn say(program: &[OsString], status: u8, kmsg: &Kmsg) {
    let name = program.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = format!("{name} ended with status {status}, and so does the utility VM");
    kmsg.error(&format!("init: {text}"));
    let Some(port) = vsockexec::log_port(program) else { return };
    let (done, said) = mpsc::channel();
    // Without a thread the console must do.
    let _ = thread::Builder::new().name("last words".to_owned()).spawn(move || {
        let line = log::fatal_line(&text);
        // An unreachable host cannot be told.
        let _ = transport::dial_blocking(port).map(|socket| File::from(socket).write_all(&line));
        done.send(())
    });
    let _ = said.recv_timeout(PATIENCE);
}
