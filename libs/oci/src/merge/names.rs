//! Names of entries in their layer.
use lcow_disk::tar::Links;

/// Where a name leads if its layer is unpacked by itself, and whether links lead there; `None` if that never ends. A name that
/// leads out of the root stays one, and is refused by whoever uses it.
pub(super) fn place(name: &[u8], links: &Links) -> Option<(Vec<u8>, bool)> {
    let path = clean(name);
    if path.starts_with(b"../") || path == b".." {
        return Some((path, false));
    }
    let found = links.resolve(path.clone())?;
    let moved = found != path;
    Some((found, moved))
}

/// A path without `.`, empty parts and, unless it leads out of the root, `..`.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// The directory and the name in it.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The path of `name` in a directory.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
