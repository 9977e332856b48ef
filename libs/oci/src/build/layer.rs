use std::io::{self, Read, Write};

use tar::{Archive, Builder, EntryType, Header};

use super::BuildError;
use crate::{Compression, Digest};

/// Collects the files of one layer; owner root, time 0.
pub struct LayerBuilder {
    tar: Builder<Vec<u8>>,
    /// The first failure; building goes on so that calls can be chained.
    failed: Option<io::Error>,
}

impl Default for LayerBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerBuilder {
    /// Without files.
    pub fn new() -> Self {
        Self { tar: Builder::new(Vec::new()), failed: None }
    }

    /// Add a regular file.
    pub fn file(&mut self, path: &str, mode: u32, data: &[u8]) -> &mut Self {
        self.add(path, EntryType::Regular, mode, None, data)
    }

    /// Add a directory.
    pub fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        self.add(path, EntryType::Directory, mode, None, &[])
    }

    /// Add a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, EntryType::Symlink, 0o777, Some(target), &[])
    }

    /// Add another name for an earlier file.
    pub fn hard_link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, EntryType::Link, 0o644, Some(target), &[])
    }

    /// Remove what lower layers have at `path`.
    pub fn whiteout(&mut self, path: &str) -> &mut Self {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let separator = if folder.is_empty() { "" } else { "/" };
        self.file(&format!("{folder}{separator}.wh.{name}"), 0, &[])
    }

    /// Add everything that is in a tar archive, as it is.
    pub fn archive(&mut self, tar: impl Read) -> &mut Self {
        if let Err(error) = self.copy(tar) {
            self.failed.get_or_insert(error);
        }
        self
    }

    fn copy(&mut self, tar: impl Read) -> io::Result<()> {
        // Raw, because long names and attributes are entries of their own.
        for entry in Archive::new(tar).entries()?.raw(true) {
            let entry = entry?;
            let header = entry.header().clone();
            self.tar.append(&header, entry)?;
        }
        Ok(())
    }

    fn add(&mut self, path: &str, kind: EntryType, mode: u32, link: Option<&str>, data: &[u8]) -> &mut Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.set_mtime(0);
        let added = match link {
            Some(target) => self.tar.append_link(&mut header, path, target),
            None => self.tar.append_data(&mut header, path, data),
        };
        if let Err(error) = added {
            self.failed.get_or_insert(error);
        }
        self
    }

    /// The stored blob and the digest of the plain tar.
    pub(super) fn finish(self, compression: Compression) -> Result<(Vec<u8>, Digest), BuildError> {
        if let Some(error) = self.failed {
            return Err(BuildError::Layer(error));
        }
        let tar = self.tar.into_inner().map_err(BuildError::Layer)?;
        let diff_id = Digest::of(&tar);
        Ok((pack(tar, compression).map_err(BuildError::Layer)?, diff_id))
    }
}

fn pack(tar: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(tar),
        Compression::Gzip => {
            // The header that flate2 writes has neither a time nor a name.
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            packer.write_all(&tar)?;
            packer.finish()
        }
        Compression::Zstd => zstd::stream::encode_all(&tar[..], 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(layer: LayerBuilder) -> Vec<u8> {
        layer.finish(Compression::None).expect("packed").0
    }

    #[test]
    fn an_archive_is_taken_as_it_is() {
        let long = "directory/".repeat(30);
        let mut original = LayerBuilder::new();
        original.directory("bin", 0o755).file("bin/sh", 0o755, &[7; 1000]);
        original.symlink("sh", "bin/sh").file(&format!("{long}file"), 0o4755, b"x");
        let original = tar(original);
        let mut copy = LayerBuilder::new();
        copy.archive(&original[..]);
        assert_eq!(tar(copy), original);
        let mut cut = LayerBuilder::new();
        cut.archive(&original[..900]);
        assert!(matches!(cut.finish(Compression::None), Err(BuildError::Layer(_))));
    }
}
