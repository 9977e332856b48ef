//! Paths through symbolic links of their own layer, as `tar` takes them; they never lead out of the root.

use std::collections::{HashMap, VecDeque};

use lcow_disk::tar::{Entry, Kind};

/// How many links Linux follows on one path (`path_resolution(7)`).
const MOST: usize = 40;

/// The symbolic links of a layer so far.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<Vec<u8>, Vec<u8>>);

impl Links {
    /// Notes what is at the path of `entry` now.
    pub(super) fn note(&mut self, entry: &Entry) {
        if entry.kind == Kind::Symlink {
            self.0.insert(entry.path.clone(), entry.link.clone());
        } else {
            self.0.remove(&entry.path);
        }
    }

    /// Where the clean path `path` leads, whose last part is not followed; `None` if it never ends.
    pub(super) fn resolve(&self, path: Vec<u8>) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return Some(path);
        }
        let mut rest: VecDeque<&[u8]> = parts(&path).collect();
        let (mut done, mut hops) = (Vec::new(), 0);
        while let Some(part) = rest.pop_front() {
            if part == b".." {
                done.pop();
                continue;
            }
            done.push(part);
            let Some(target) = self.0.get(&done.join(&b'/')).filter(|_| !rest.is_empty()) else { continue };
            hops += 1;
            if hops > MOST {
                return None;
            }
            if target.starts_with(b"/") {
                done.clear();
            } else {
                done.pop();
            }
            for part in parts(target).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(part);
            }
        }
        Some(done.join(&b'/'))
    }
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
            links.note(&Entry::symlink(path, target));
        }
        let resolve = |path: &str| links.resolve(path.as_bytes().to_vec());
        for (path, expected) in [
            ("lib", Some("lib")),
            ("lib/b", Some("usr/lib/b")),
            ("usr/abs/passwd", Some("etc/passwd")),
            ("out/a", Some("x/a")),
            ("one/a", None),
        ] {
            assert_eq!(resolve(path), expected.map(|path| path.as_bytes().to_vec()), "{path}");
        }
    }
}
