//! What a file holds: data, a link target, a device number, extended attributes.
use std::io::{Seek, Write};

use super::convert::Writer;
use super::entry::attribute_error;
use super::error::LayerError;
use super::finish;
use super::source::Source;
use crate::ext4::extent::{self, Extent};
use crate::ext4::inode::{self, Content, flag, mode};
use crate::ext4::layout::{BLOCK, BLOCK_SIZE, SECTORS_PER_BLOCK, blocks_for};
use crate::ext4::xattr;
use crate::tar::{Entry, Kind, Segment};

/// Largest file with 32-bit block numbers.
const MAX_FILE: u64 = (1 << 32) * BLOCK - BLOCK;
/// Longest target of a symbolic link that stands in the inode, and longest of all.
pub(super) const SHORT_TARGET: usize = 59;
const LONG_TARGET: usize = BLOCK_SIZE - 1;

impl<W: Write + Seek> Writer<W> {
    pub(super) fn content(
        &mut self,
        entry: &Entry,
        data: &mut impl Source,
    ) -> Result<(u16, Content), LayerError> {
        Ok(match entry.kind {
            Kind::File => (mode::FILE, self.file(entry, data)?),
            Kind::Symlink => (mode::SYMLINK, self.symlink(entry)?),
            Kind::CharDevice(major, minor) => (mode::CHAR, device(entry, major, minor)?),
            Kind::BlockDevice(major, minor) => (mode::BLOCK, device(entry, major, minor)?),
            _ => (mode::FIFO, Content::default()),
        })
    }

    fn file(&mut self, entry: &Entry, data: &mut impl Source) -> Result<Content, LayerError> {
        if entry.size > MAX_FILE {
            return Err(attribute_error(&entry.path, "size", "larger than 16 TiB"));
        }
        let first = self.sink.block();
        let extents = match &entry.segments {
            None => {
                self.copy(entry.size, data)?;
                self.sink.pad()?;
                let length = self.sink.block() - first;
                vec![Extent { logical: 0, physical: first, length }]
            }
            Some(segments) => self.sparse(segments, data)?,
        };
        let tree = extent::build(&extents, self.sink.block());
        for block in &tree.blocks {
            self.sink.write(block)?;
        }
        let sectors = u64::from(self.sink.block() - first) * SECTORS_PER_BLOCK;
        let content = Content {
            size: entry.size,
            sectors,
            flags: flag::EXTENTS,
            body: tree.body,
            ..Content::default()
        };
        Ok(content)
    }

    /// Copy the runs of a sparse file; blocks that no run touches are left out.
    fn sparse(&mut self, segments: &[Segment], data: &mut impl Source) -> Result<Vec<Extent>, LayerError> {
        let mut extents: Vec<Extent> = Vec::new();
        // The end of the last run, in the file: its block may be continued by the next one.
        let mut end = 0u64;
        for run in segments {
            let block = (run.offset / BLOCK) as u32;
            let continues = extents.last().is_some_and(|e| e.logical + e.length > block);
            if continues {
                self.sink.zeros(run.offset - end)?;
            } else {
                self.sink.pad()?;
                let adjacent = extents.last().is_some_and(|e| e.logical + e.length == block);
                if !adjacent {
                    extents.push(Extent { logical: block, physical: self.sink.block(), length: 0 });
                }
                self.sink.zeros(run.offset % BLOCK)?;
            }
            self.copy(run.length, data)?;
            end = run.offset + run.length;
            let last = extents.last_mut().expect("just pushed");
            last.length = blocks_for(end) as u32 - last.logical;
        }
        self.sink.pad()?;
        Ok(extents)
    }

    fn copy(&mut self, bytes: u64, data: &mut impl Source) -> Result<(), LayerError> {
        self.sink.fill(bytes, |buffer| data.read(buffer))
    }

    fn symlink(&mut self, entry: &Entry) -> Result<Content, LayerError> {
        let target = entry.link.as_slice();
        if target.is_empty() || target.len() > LONG_TARGET || target.contains(&0) {
            return Err(attribute_error(&entry.path, "link target", "empty, over 4095 bytes or with a NUL"));
        }
        let size = target.len() as u64;
        if target.len() <= SHORT_TARGET {
            let mut body = [0; 60];
            body[..target.len()].copy_from_slice(target);
            return Ok(Content { size, body, ..Content::default() });
        }
        let body = extent::single(self.sink.block(), 1);
        self.sink.write(target)?;
        self.sink.pad()?;
        Ok(Content { size, sectors: SECTORS_PER_BLOCK, flags: flag::EXTENTS, body, ..Content::default() })
    }

    pub(super) fn xattrs(&mut self, entry: &Entry) -> Result<xattr::Encoded, LayerError> {
        let has_whiteouts = self.has_whiteouts();
        let kept = entry.xattrs.iter().filter(|(name, _)| !misleads_overlay(has_whiteouts, name));
        let (encoded, unknown) = finish::encode_xattrs(kept, &entry.path)?;
        let misleading =
            entry.xattrs.iter().filter(|(name, _)| misleads_overlay(has_whiteouts, name)).count();
        self.dropped_xattrs += (misleading + unknown) as u32;
        Ok(encoded)
    }
}

fn device(entry: &Entry, major: u32, minor: u32) -> Result<Content, LayerError> {
    let body = inode::device_body(major, minor).ok_or_else(|| {
        attribute_error(&entry.path, "device number", "major over 4095 or minor over 1048575")
    })?;
    Ok(Content { body, ..Content::default() })
}

/// Attributes by which an image could send overlayfs to places it does not own.
pub(super) fn misleads_overlay(has_whiteouts: bool, name: &[u8]) -> bool {
    has_whiteouts && name.starts_with(b"trusted.overlay.")
}
