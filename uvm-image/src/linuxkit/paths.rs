//! Paths of files in the root.

/// A path that is no place in the root: it has `..`, or a NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside;

/// Bytes of a path (`PATH_MAX`). Without a bound an entry could cost the square of its length in memory.
const MAX_PATH: usize = 4096;

/// `path` from the root on, without `.` and empty parts; the root itself is empty.
pub fn clean(path: &[u8]) -> Result<Vec<u8>, Outside> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&&b".."[..]) || path.contains(&0) || path.len() > MAX_PATH {
        return Err(Outside);
    }
    Ok(parts.join(&b'/'))
}

/// The directories above the clean path `path`, the outermost first.
pub fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// A path as it is shown.
pub fn text(path: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(&path[..path.len().min(MAX_PATH)]).into_owned();
    if path.len() > MAX_PATH {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_at_the_root_and_stay_below_it() {
        for (path, expected) in [
            ("a/b", "a/b"),
            ("/a", "a"),
            ("//a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("/", ""),
            ("a../..b", "a../..b"),
        ] {
            assert_eq!(clean(path.as_bytes()).as_deref(), Ok(expected.as_bytes()), "{path}");
        }
        for path in ["..", "a/../b", "/..", "a/..", "a\0b"] {
            assert_eq!(clean(path.as_bytes()), Err(Outside), "{path}");
        }
        for (length, fits) in [(4096, true), (4097, false)] {
            assert_eq!(clean(&vec![b'x'; length]).is_ok(), fits, "{length}");
        }
        assert_eq!(parents(b"a/bc/d").collect::<Vec<_>>(), [&b"a"[..], b"a/bc"]);
    }
}
