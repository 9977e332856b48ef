//! User strings, resolved in the container's own files (spec section 7.10).

use std::io::Read;
use std::path::Path;

use super::guest_path;

/// A user string that does not resolve.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// More than one colon.
    #[error("invalid user string {0:?}")]
    Malformed(String),
    /// No such name, or several.
    #[error("failed to find user by username: {0}")]
    NoUser(String),
    /// No such name, or several.
    #[error("failed to find group by groupname: {0}")]
    NoGroup(String),
    /// A number that is no id.
    #[error("user or group id {0:?} is out of range")]
    OutOfRange(String),
}

/// Numeric ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Larger files are not read: they would have to fit into the agent's memory.
const LARGEST_FILE: u64 = 4 << 20;

/// Resolves `user`, `uid`, `user:group`, `uid:gid`, … in the files of the container's `root`, which may be slow.
pub(super) async fn resolve(root: &Path, text: &str) -> Result<Ids, Error> {
    let root = root.to_owned();
    let files = move || ["/etc/passwd", "/etc/group"].map(|path| read(&root, path));
    let [users, groups] = tokio::task::spawn_blocking(files).await.unwrap_or_default();
    resolve_in(&users, &groups, text)
}

/// A file that is missing or unreadable knows nobody.
fn read(root: &Path, path: &str) -> String {
    let mut bytes = Vec::new();
    let read =
        guest_path::open_in(root, path).and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn resolve_in(passwd: &str, groups: &str, text: &str) -> Result<Ids, Error> {
    let mut parts = text.split(':');
    let (user, group) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Err(Error::Malformed(text.to_owned()));
    }
    let mut ids = if let Some(uid) = number(user)? {
        let entry = only(passwd, |fields| field(fields, 2) == Some(uid));
        Ids { uid, gid: entry.and_then(|fields| field(&fields, 3)).unwrap_or(0) }
    } else {
        let entry = only(passwd, |fields| fields.first() == Some(&user));
        let ids = entry.and_then(|fields| Some(Ids { uid: field(&fields, 2)?, gid: field(&fields, 3)? }));
        ids.ok_or_else(|| Error::NoUser(user.to_owned()))?
    };
    if let Some(group) = group {
        ids.gid = match number(group)? {
            Some(gid) => gid,
            None => only(groups, |fields| fields.first() == Some(&group))
                .and_then(|fields| field(&fields, 2))
                .ok_or_else(|| Error::NoGroup(group.to_owned()))?,
        };
    }
    Ok(ids)
}

/// The number that the text is, if it is one.
fn number(text: &str) -> Result<Option<u32>, Error> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Error::OutOfRange(text.to_owned()))
}

fn field(fields: &[&str], index: usize) -> Option<u32> {
    fields.get(index)?.parse().ok()
}

/// The fields of the one line that matches.
fn only(file: &str, matches: impl Fn(&[&str]) -> bool) -> Option<Vec<&str>> {
    let lines =
        file.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':').collect::<Vec<_>>());
    let mut matching = lines.filter(|fields| matches(fields));
    let found = matching.next()?;
    matching.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# a comment\nweb:x:1000:50::/:\ntwin:x:7:7::/:\ntwin:x:8:8::/:\n";
    const GROUP: &str = "root:x:0:\nvideo:x:44:web\n";

    fn ids(text: &str) -> Result<(u32, u32), Error> {
        resolve_in(PASSWD, GROUP, text).map(|ids| (ids.uid, ids.gid))
    }

    #[test]
    fn every_form_resolves() {
        let cases = [
            ("web", (1000, 50)),
            ("1000", (1000, 50)),
            ("4711", (4711, 0)),
            ("web:video", (1000, 44)),
            ("1000:video", (1000, 44)),
            ("web:9", (1000, 9)),
            ("5:6", (5, 6)),
        ];
        for (text, expected) in cases {
            assert_eq!(ids(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_does_not_resolve_says_why() {
        assert_eq!(ids("nobody"), Err(Error::NoUser("nobody".into())));
        assert_eq!(ids("twin"), Err(Error::NoUser("twin".into())));
        assert_eq!(ids("web:disco"), Err(Error::NoGroup("disco".into())));
        assert_eq!(ids("a:b:c"), Err(Error::Malformed("a:b:c".into())));
        assert_eq!(ids("4294967296"), Err(Error::OutOfRange("4294967296".into())));
    }
}
