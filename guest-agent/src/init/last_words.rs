//! When the main program has ended and should not have: the reason goes to the console and to the host's log port.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use super::kmsg::Kmsg;
use crate::power::Ending;
use crate::{log, transport, vsockexec};

/// How long the host may take to accept and read one line.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says that `program` ended with `status`.
pub(super) fn say(program: &[OsString], status: u8, ending: &mut Ending, kmsg: &Kmsg) {
    let name = program.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = format!("{name} ended with status {status}, and so does the utility VM");
    kmsg.error(&format!("init: {text}"));
    let Some(port) = vsockexec::log_port(program) else { return };
    // If that is stuck, or there is no thread for it, the console must do.
    ending.attempt(PATIENCE, move || {
        let line = log::fatal_line(&text);
        // An unreachable host cannot be told.
        let _ = transport::dial_blocking(port).map(|socket| File::from(socket).write_all(&line));
    });
}
