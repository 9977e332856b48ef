//! Names of entries: made relative to the root of the layer, and recognised as whiteouts.
use super::error::{LayerError, shown};
use crate::ext4::dir::MAX_NAME;

/// Longest name of an entry: what Linux takes in a system call.
const MAX_PATH: usize = 4096;
const PREFIX: &[u8] = b".wh.";

/// The parts of `path` from the root of the layer on. A leading `/` and parts `.` mean nothing, `..` takes back the part
/// before it and may not leave the layer. An empty result is the root itself.
pub(super) fn parts(path: &[u8]) -> Result<Vec<&[u8]>, LayerError> {
    let refuse = |reason| Err(LayerError::Name { path: shown(path), reason });
    if path.len() > MAX_PATH {
        return refuse("over 4096 bytes long");
    }
    if path.contains(&0) {
        return refuse("contains a NUL");
    }
    let mut parts = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return refuse("leaves the layer");
                }
            }
            _ if part.len() > MAX_NAME => return refuse("a part is over 255 bytes long"),
            _ => parts.push(part),
        }
    }
    Ok(parts)
}

/// What a name says in a layer with whiteouts (OCI image-spec, `layer.md`, "Whiteouts").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// An entry like any other.
    Plain,
    /// The name that is removed.
    Whiteout(&'a [u8]),
    /// Its directory hides everything below.
    Opaque,
    /// Left over from aufs, of no use to anyone.
    Ignore,
}

/// Read the meaning off the parts of an entry's name.
pub(super) fn meaning<'a>(parts: &[&'a [u8]], path: &[u8]) -> Result<Meaning<'a>, LayerError> {
    let Some((&last, parents)) = parts.split_last() else { return Ok(Meaning::Plain) };
    if parents.iter().any(|part| part.starts_with(b".wh..wh.")) {
        return Ok(Meaning::Ignore);
    }
    let refuse = |reason| Err(LayerError::Name { path: shown(path), reason });
    if parents.iter().any(|part| part.starts_with(PREFIX)) {
        return refuse("lies below a whiteout");
    }
    match last.strip_prefix(PREFIX) {
        None => Ok(Meaning::Plain),
        Some(b".wh..opq") => Ok(Meaning::Opaque),
        Some(rest) if rest.starts_with(PREFIX) => Ok(Meaning::Ignore),
        Some(b"" | b"." | b"..") => refuse("removes nothing that can exist"),
        Some(rest) => Ok(Meaning::Whiteout(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_layer_and_cannot_leave_it() {
        let joined = |path: &str| parts(path.as_bytes()).map(|p| p.join(&b'/')).ok();
        assert_eq!(joined("./a//b/./c/"), Some(b"a/b/c".to_vec()));
        assert_eq!(joined("/etc/passwd"), Some(b"etc/passwd".to_vec()));
        assert_eq!(joined("a/../b"), Some(b"b".to_vec()));
        assert_eq!(joined("./"), Some(Vec::new()));
        assert_eq!(joined("a/../../b"), None);
        assert_eq!(joined(&"x".repeat(256)), None);
        assert_eq!(joined(&"x/".repeat(2049)), None);
    }

    #[test]
    fn whiteouts_are_told_apart() {
        let of = |path: &'static str| meaning(&parts(path.as_bytes()).unwrap(), path.as_bytes());
        assert_eq!(of("a/.wh.b").unwrap(), Meaning::Whiteout(b"b"));
        assert_eq!(of("a/.wh..wh..opq").unwrap(), Meaning::Opaque);
        assert_eq!(of(".wh..wh.plnk/1.2").unwrap(), Meaning::Ignore);
        assert_eq!(of(".wh..wh.aufs").unwrap(), Meaning::Ignore);
        assert_eq!(of("a/.what").unwrap(), Meaning::Plain);
        assert!(of("a/.wh.").is_err());
        assert!(of("a/.wh...").is_err());
        assert!(of(".wh.a/b").is_err());
    }
}
