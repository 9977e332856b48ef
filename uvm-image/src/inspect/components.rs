//! What a root file system is made of.

use std::collections::BTreeMap;

/// Beginnings of paths, and what lies there. The first that fits counts.
const PARTS: &[(&str, &str)] = &[
    ("bin/gcs", "guest agent"),
    ("bin/busybox", "busybox"),
    ("lib/modules/", "kernel modules"),
    ("containers/", "containers"),
    ("boot/", "kernel"),
    ("", "other files"),
];

/// Files by component, with their number and bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Components(BTreeMap<usize, (usize, u64)>);

impl Components {
    /// Name, number of files and bytes of each component.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, usize, u64)> {
        self.0.iter().map(|(part, (files, bytes))| (PARTS[*part].1, *files, *bytes))
    }
}

/// Files by what tells them apart: a file with several names is one.
#[derive(Debug)]
pub(super) struct Files<K>(BTreeMap<K, (usize, u64)>);

impl<K: Ord> Files<K> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Notes that the file `key` is at `path`, and the bytes that were found there: archives have them with one name only.
    pub(super) fn add(&mut self, key: K, path: &str, bytes: u64) {
        let path = path.trim_start_matches(['.', '/']);
        let part = PARTS.iter().position(|(start, _)| path.starts_with(start)).unwrap_or(PARTS.len() - 1);
        let (known, size) = self.0.entry(key).or_insert((part, bytes));
        *known = part.min(*known);
        *size = bytes.max(*size);
    }

    /// What they make up. A file counts for the first component in the table that one of its names is in.
    pub(super) fn components(self) -> Components {
        let mut components = BTreeMap::<usize, (usize, u64)>::new();
        for (part, bytes) in self.0.into_values() {
            let (files, total) = components.entry(part).or_default();
            *files += 1;
            *total = total.saturating_add(bytes);
        }
        Components(components)
    }
}
