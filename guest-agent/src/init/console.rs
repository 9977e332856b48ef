//! Standard streams of PID 1.

use std::fs::OpenOptions;

use nix::sys::stat::{fstat, makedev};

use super::kmsg::Kmsg;
use crate::sys;

/// `/dev/null`, which the language's runtime opens for streams that are missing.
const NULL: (u64, u64) = (1, 3);

/// Connects the streams to the console if the kernel could not: a root file system need not have that device before
/// `/dev` is mounted.
pub(super) fn connect(kmsg: &Kmsg) {
    let missing = fstat(std::io::stdout()).is_ok_and(|stat| stat.st_rdev == makedev(NULL.0, NULL.1));
    if !missing {
        return;
    }
    // A machine without a console has nobody in front of it.
    let Ok(console) = OpenOptions::new().read(true).write(true).open("/dev/console") else { return };
    for stream in 0..=2 {
        if let Err(error) = sys::place_fd(&console, stream) {
            kmsg.warning(&format!("init: connecting stream {stream} to the console: {error}"));
        }
    }
}
