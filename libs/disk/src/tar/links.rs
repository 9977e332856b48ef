//! Where the names of an archive lead, if it is unpacked by itself.

use std::collections::{HashMap, VecDeque};

use super::Kind;

/// How many links Linux follows on one path (`path_resolution(7)`).
const MOST: usize = 40;

/// The symbolic links of an archive so far. Names that go through them are those of files elsewhere, as for a program that
/// unpacks one entry after the other; no link leads out of the root.
///
/// ```
/// use lcow_disk::tar::{Kind, Links};
/// let mut links = Links::default();
/// links.note(b"lib", Kind::Symlink, b"usr/lib");
/// assert_eq!(links.resolve(b"lib/libc.so".to_vec()).as_deref(), Some(&b"usr/lib/libc.so"[..]));
/// ```
#[derive(Debug, Default)]
pub struct Links(HashMap<Vec<u8>, Vec<u8>>);

impl Links {
    /// Notes what is at `path` now: for a symbolic link with its target `link`, for a hard link with the clean path `link`
    /// that it names. `path` was resolved and is clean: without a leading slash, `.`, `..` and empty parts.
    pub fn note(&mut self, path: &[u8], kind: Kind, link: &[u8]) {
        let target = match kind {
            Kind::Symlink => Some(link.to_vec()),
            Kind::HardLink => self.0.get(link).cloned(),
            _ => None,
        };
        match target {
            Some(target) => drop(self.0.insert(path.to_vec(), target)),
            None => drop(self.0.remove(path)),
        }
    }

    /// Where the clean path `path` leads, whose last part is not followed; `None` if it goes through more than 40 links.
    pub fn resolve(&self, path: Vec<u8>) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return Some(path);
        }
        let mut rest: VecDeque<&[u8]> = parts(&path).collect();
        let (mut done, mut hops) = (Vec::with_capacity(path.len()), 0);
        while let Some(part) = rest.pop_front() {
            if part == b".." {
                cut(&mut done);
                continue;
            }
            if !done.is_empty() {
                done.push(b'/');
            }
            done.extend_from_slice(part);
            let Some(target) = self.0.get(&done).filter(|_| !rest.is_empty()) else { continue };
            hops += 1;
            if hops > MOST {
                return None;
            }
            if target.starts_with(b"/") {
                done.clear();
            } else {
                cut(&mut done);
            }
            for part in parts(target).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(part);
            }
        }
        Some(done)
    }
}

/// Leaves the directory of a path.
fn cut(path: &mut Vec<u8>) {
    path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_root() {
        let mut links = Links::default();
        for (path, target) in
            [("lib", "usr/lib"), ("usr/abs", "/etc"), ("out", "../../../x"), ("one", "two"), ("two", "one")]
        {
            links.note(path.as_bytes(), Kind::Symlink, target.as_bytes());
        }
        links.note(b"lib2", Kind::HardLink, b"lib");
        links.note(b"out2", Kind::Symlink, b"x");
        links.note(b"out2", Kind::Directory, b"");
        for (path, expected) in [
            ("lib", Some("lib")),
            ("lib/b", Some("usr/lib/b")),
            ("lib2/b", Some("usr/lib/b")),
            ("out2/b", Some("out2/b")),
            ("usr/abs/passwd", Some("etc/passwd")),
            ("out/a", Some("x/a")),
            ("one/a", None),
        ] {
            let found = links.resolve(path.as_bytes().to_vec());
            assert_eq!(found, expected.map(|path| path.as_bytes().to_vec()), "{path}");
        }
    }
}
