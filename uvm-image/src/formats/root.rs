//! A root file system in the two forms that outputs are made of.

use std::io::{self, Read, Write};

use super::tree_tar;
use crate::initrd::cpio;
use crate::initrd::tree::{Entry, Node, Tree};

/// A root file system that can be written several times.
pub trait Root {
    /// Writes it as a "newc" cpio archive, not compressed.
    fn cpio(&self, out: &mut dyn Write) -> io::Result<()>;
    /// About how many bytes that are.
    fn size(&self) -> io::Result<usize>;
    /// As a tar stream. Files that have no time of their own are of the time `mtime`, in seconds since 1970.
    fn tar(&self, mtime: u64) -> io::Result<Box<dyn Read + '_>>;
}

impl Root for Tree {
    fn cpio(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&cpio::archive(self))
    }

    fn size(&self) -> io::Result<usize> {
        let content = |entry: &Entry| if let Node::File(bytes) = &entry.node { bytes.len() } else { 0 };
        Ok(self.iter().map(|(_, entry)| content(entry)).sum())
    }

    fn tar(&self, mtime: u64) -> io::Result<Box<dyn Read + '_>> {
        let mut archive = Vec::new();
        tree_tar::write(self, mtime, &mut archive)?;
        Ok(Box::new(io::Cursor::new(archive)))
    }
}
