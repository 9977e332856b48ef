//! A root file system in the two forms that outputs are made of.

use std::io::{self, Read};

use super::tree_tar;
use crate::initrd::cpio;
use crate::initrd::tree::Tree;

/// A root file system that can be written several times.
pub trait Root {
    /// As a "newc" cpio archive, not compressed.
    fn cpio(&self) -> io::Result<Vec<u8>>;
    /// As a tar stream. Files that have no time of their own are of the time `mtime`, in seconds since 1970.
    fn tar(&self, mtime: u64) -> io::Result<Box<dyn Read + '_>>;
}

impl Root for Tree {
    fn cpio(&self) -> io::Result<Vec<u8>> {
        Ok(cpio::archive(self))
    }

    fn tar(&self, mtime: u64) -> io::Result<Box<dyn Read + '_>> {
        let mut archive = Vec::new();
        tree_tar::write(self, mtime, &mut archive)?;
        Ok(Box::new(io::Cursor::new(archive)))
    }
}
