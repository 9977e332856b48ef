//! A file tree for an archive: every path once, parents made as needed, always in the same order.

use std::collections::BTreeMap;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file with its content.
    File(Vec<u8>),
    /// A symbolic link to this target.
    Symlink(String),
    /// A character device with its major and minor number.
    CharDevice(u32, u32),
}

/// A path's node and permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Permission bits.
    pub mode: u32,
}

/// Paths without leading slash, sorted so that directories come before what they hold.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Adds a directory.
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.insert(path, Node::Directory, mode);
    }

    /// Adds a regular file.
    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.insert(path, Node::File(content.into()), mode);
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.insert(path, Node::Symlink(target.into()), 0o777);
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.insert(path, Node::CharDevice(major, minor), mode);
    }

    /// Whether the tree has `path`.
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path.trim_start_matches('/'))
    }

    /// All entries, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    fn insert(&mut self, path: &str, node: Node, mode: u32) {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert(Entry { node: Node::Directory, mode: 0o755 });
        }
        self.entries.insert(path.to_owned(), Entry { node, mode });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_keep_their_mode() {
        let mut tree = Tree::default();
        tree.directory("/tmp", 0o1777);
        tree.file("/tmp/a/b", 0o644, *b"x");
        let paths: Vec<_> = tree.iter().map(|(path, entry)| (path, entry.mode)).collect();
        assert_eq!(paths, [("tmp", 0o1777), ("tmp/a", 0o755), ("tmp/a/b", 0o644)]);
        assert!(tree.contains("/tmp/a") && !tree.contains("tmp/b"));
    }
}
