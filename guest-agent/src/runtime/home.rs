//! The home directory of a container's user, from the container's own `/etc/passwd` (passwd(5)).
//!
//! Not by the C library, which may load further libraries for that, and those would be the container's.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Larger files are not read to their end.
const LARGEST_FILE: u64 = 4 << 20;

/// What the first line for `uid` says; `None` if there is none, or it says nothing.
pub(super) fn of(uid: u32, passwd: &Path) -> Option<String> {
    let text = read(passwd).ok()?;
    let home = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let same = fields.nth(2)?.parse() == Ok(uid);
        fields.nth(2).filter(|_| same)
    })?;
    (!home.is_empty()).then(|| home.to_owned())
}

fn read(path: &Path) -> io::Result<String> {
    // Opening a pipe must not block.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_user_counts() {
        let path = std::env::temp_dir().join(format!("home-{}", std::process::id()));
        let text = "root:x:0:0:root:/root:/bin/sh\nshort:x:9\nweb:x:1000:50::/srv/web:\nagain:x:1000:50::/other:\nnone:x:7:7:::\n";
        std::fs::write(&path, text).unwrap();
        let homes = [0, 1000, 7, 9, 4711].map(|uid| of(uid, &path));
        assert_eq!(homes, [Some("/root".to_owned()), Some("/srv/web".to_owned()), None, None, None]);
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(of(0, &path), None);
        std::fs::remove_file(&path).unwrap();
    }
}
