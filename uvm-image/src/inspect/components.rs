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
    /// Counts a file.
    pub(super) fn add(&mut self, path: &str, bytes: u64) {
        let path = path.trim_start_matches(['.', '/']);
        let part = PARTS.iter().position(|(start, _)| path.starts_with(start)).unwrap_or(PARTS.len() - 1);
        let (files, total) = self.0.entry(part).or_default();
        *files += 1;
        *total = total.saturating_add(bytes);
    }

    /// Name, number of files and bytes of each component.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, usize, u64)> {
        self.0.iter().map(|(part, (files, bytes))| (PARTS[*part].1, *files, *bytes))
    }
}
