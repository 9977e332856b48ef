use std::io::{BufReader, Read, Seek, Write};

use super::error::{LayerError, shown};
use super::names::{self, Meaning};
use super::node::Node;
use super::sink::Sink;
use super::tree::Tree;
use super::{LayerStats, Options, Whiteouts, finish};
use crate::ext4::extent::{self, Extent};
use crate::ext4::inode::{self, Attributes, Content, flag, mode};
use crate::ext4::layout::{BLOCK, BLOCK_SIZE, ROOT_INODE, SECTORS_PER_BLOCK, blocks_for};
use crate::ext4::xattr::{self, Refusal};
use crate::tar::{Entry, Kind, Reader, Segment};

/// Reads of file data larger than this go past the buffer.
const INPUT_BUFFER: usize = 128 * 1024;
/// Largest file with 32-bit block numbers.
const MAX_FILE: u64 = (1 << 32) * BLOCK - BLOCK;
/// Longest target of a symbolic link that stands in the inode, and longest of all.
const SHORT_TARGET: usize = 59;
const LONG_TARGET: usize = BLOCK_SIZE - 1;

/// Write the file system that `tar` describes to `out`, from its byte 0 on. `tar` is read to its end.
///
/// On failure `out` holds rubbish: write to a temporary file and rename.
pub fn convert<R: Read, W: Write + Seek>(
    tar: R,
    out: W,
    options: &Options,
) -> Result<LayerStats, LayerError> {
    let reserved = finish::reserved_blocks(options.max_size);
    let mut converter = Converter {
        tar: Reader::new(BufReader::with_capacity(INPUT_BUFFER, tar)),
        sink: Sink::new(out, reserved, options.max_size)?,
        tree: Tree::new(),
        overlay: options.whiteouts == Whiteouts::Overlay,
        pending: Vec::new(),
        dropped_xattrs: 0,
    };
    while let Some(entry) = converter.tar.next_entry()? {
        converter.entry(&entry)?;
    }
    converter.tar.drain()?;
    converter.resolve_pending()?;
    let tar_bytes = converter.tar.offset();
    let dropped_xattrs = converter.dropped_xattrs;
    let done = finish::finish(converter.sink, converter.tree, options)?;
    Ok(LayerStats { tar_bytes, dropped_xattrs, ..done })
}

struct Converter<R, W> {
    tar: Reader<BufReader<R>>,
    sink: Sink<W>,
    tree: Tree,
    overlay: bool,
    /// Hard links whose target has not been seen: path, target.
    pending: Vec<(Vec<u8>, Vec<u8>)>,
    dropped_xattrs: u32,
}

impl<R: Read, W: Write + Seek> Converter<R, W> {
    fn entry(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let parts = names::parts(&entry.path)?;
        let meaning = if self.overlay { names::meaning(&parts, &entry.path)? } else { Meaning::Plain };
        let Some((&name, parents)) = parts.split_last() else { return self.root(entry) };
        if meaning == Meaning::Ignore {
            return Ok(());
        }
        let parent = self.tree.directory(parents, true, &entry.path)?.expect("made where missing");
        match meaning {
            Meaning::Opaque => {
                self.tree.directories.get_mut(&parent).expect("a directory").opaque = true;
                Ok(())
            }
            Meaning::Whiteout(removed) => {
                self.whiteout(parent, removed, entry);
                Ok(())
            }
            _ if entry.kind == Kind::Directory => self.directory(parent, name, entry),
            _ if entry.kind == Kind::HardLink => self.hard_link(parent, name, entry),
            _ => self.leaf(parent, name, entry),
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if entry.kind != Kind::Directory {
            return Err(LayerError::Name {
                path: shown(&entry.path),
                reason: "names the root, but is no directory",
            });
        }
        self.set_directory(ROOT_INODE, entry);
        Ok(())
    }

    fn directory(&mut self, parent: u32, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let number = match self.tree.child(parent, name) {
            Some(found) if self.tree.node(found).is_directory() => found,
            found => {
                let removed_below = found.is_some_and(|found| self.tree.node(found).whiteout);
                let number =
                    self.tree.make_directory(parent, name, attributes(entry, mode::DIRECTORY), found);
                self.tree.directories.get_mut(&number).expect("just made").opaque = removed_below;
                number
            }
        };
        self.set_directory(number, entry);
        Ok(())
    }

    fn set_directory(&mut self, number: u32, entry: &Entry) {
        let directory = self.tree.directories.get_mut(&number).expect("a directory");
        directory.attributes = attributes(entry, mode::DIRECTORY);
        directory.xattrs.clone_from(&entry.xattrs);
        let (overlay, before) = (self.overlay, directory.xattrs.len());
        directory.xattrs.retain(|(name, _)| !misleads_overlay(overlay, name));
        self.dropped_xattrs += (before - directory.xattrs.len()) as u32;
    }

    /// Remove `name` of the layers below. What this layer has under it stays (image-spec: whiteouts apply to lower layers
    /// only), but a directory must not be merged with the removed one.
    fn whiteout(&mut self, parent: u32, name: &[u8], entry: &Entry) {
        match self.tree.child(parent, name) {
            Some(found) => {
                if let Some(directory) = self.tree.directories.get_mut(&found) {
                    directory.opaque = true;
                }
            }
            None => {
                let attributes = Attributes { mode: mode::CHAR, ..attributes(entry, 0) };
                let fixed = inode::encode(&attributes, &Content::default());
                let number = self.tree.add(Node { fixed, tail: None, blocks: (0, 0), whiteout: true });
                self.tree.link(parent, name, number);
            }
        }
    }

    /// Everything that is neither a directory nor a hard link.
    fn leaf(&mut self, parent: u32, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let first = self.sink.block();
        let (kind, mut content) = self.content(entry)?;
        let xattrs = self.xattrs(entry)?;
        if let Some(block) = &xattrs.block {
            content.xattr_block = self.sink.block();
            content.sectors += SECTORS_PER_BLOCK;
            self.sink.write(&block[..])?;
        }
        let fixed = inode::encode(&attributes(entry, kind), &content);
        let blocks = (first, self.sink.block() - first);
        self.tree.unlink(parent, name);
        let number = self.tree.add(Node { fixed, tail: xattrs.tail, blocks, whiteout: false });
        if entry.kind == Kind::Symlink && entry.link.len() > SHORT_TARGET {
            self.tree.long_targets.insert(number, entry.link.as_slice().into());
        }
        self.tree.link(parent, name, number);
        Ok(())
    }

    fn content(&mut self, entry: &Entry) -> Result<(u16, Content), LayerError> {
        Ok(match entry.kind {
            Kind::File => (mode::FILE, self.file(entry)?),
            Kind::Symlink => (mode::SYMLINK, self.symlink(entry)?),
            Kind::CharDevice(major, minor) => (mode::CHAR, device(entry, major, minor)?),
            Kind::BlockDevice(major, minor) => (mode::BLOCK, device(entry, major, minor)?),
            _ => (mode::FIFO, Content::default()),
        })
    }

    fn file(&mut self, entry: &Entry) -> Result<Content, LayerError> {
        if entry.size > MAX_FILE {
            return Err(attribute_error(&entry.path, "size", "larger than 16 TiB"));
        }
        let first = self.sink.block();
        let extents = match &entry.segments {
            None => {
                self.copy(entry.size)?;
                self.sink.pad()?;
                let length = self.sink.block() - first;
                vec![Extent { logical: 0, physical: first, length }]
            }
            Some(segments) => self.sparse(segments)?,
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
    fn sparse(&mut self, segments: &[Segment]) -> Result<Vec<Extent>, LayerError> {
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
            self.copy(run.length)?;
            end = run.offset + run.length;
            let last = extents.last_mut().expect("just pushed");
            last.length = blocks_for(end) as u32 - last.logical;
        }
        self.sink.pad()?;
        Ok(extents)
    }

    fn copy(&mut self, bytes: u64) -> Result<(), LayerError> {
        let tar = &mut self.tar;
        self.sink.fill(bytes, |buffer| tar.read_data(buffer))
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

    fn xattrs(&mut self, entry: &Entry) -> Result<xattr::Encoded, LayerError> {
        let overlay = self.overlay;
        let kept = entry.xattrs.iter().filter(|(name, _)| !misleads_overlay(overlay, name));
        let (encoded, unknown) = finish::encode_xattrs(kept, &entry.path)?;
        let misleading = entry.xattrs.iter().filter(|(name, _)| misleads_overlay(overlay, name)).count();
        self.dropped_xattrs += (misleading + unknown) as u32;
        Ok(encoded)
    }

    fn hard_link(&mut self, parent: u32, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        match self.link_target(&entry.link)? {
            // A link to itself changes nothing; removing the old name first would lose it.
            Some(target) if self.tree.child(parent, name) == Some(target) => Ok(()),
            Some(target) => {
                let (path, link) = (&entry.path, &entry.link);
                self.make_link(parent, name, target, path, link)
            }
            None => {
                self.tree.unlink(parent, name);
                self.pending.push((entry.path.clone(), entry.link.clone()));
                Ok(())
            }
        }
    }

    fn make_link(
        &mut self,
        parent: u32,
        name: &[u8],
        target: u32,
        path: &[u8],
        link: &[u8],
    ) -> Result<(), LayerError> {
        let refuse = |reason| Err(LayerError::HardLink { path: shown(path), target: shown(link), reason });
        if self.tree.node(target).is_directory() {
            return refuse("the target is a directory");
        }
        if !self.tree.count_link(target) {
            return refuse("the target has 65000 names already");
        }
        self.tree.unlink(parent, name);
        self.tree.link(parent, name, target);
        Ok(())
    }

    fn link_target(&mut self, link: &[u8]) -> Result<Option<u32>, LayerError> {
        let parts = names::parts(link)?;
        let Some((name, parents)) = parts.split_last() else { return Ok(Some(ROOT_INODE)) };
        let directory = self.tree.directory(parents, false, link)?;
        let found = directory.and_then(|directory| self.tree.child(directory, name));
        Ok(found.filter(|&found| !self.tree.node(found).whiteout))
    }

    /// Make the links whose targets came after them; a chain of links takes several rounds.
    fn resolve_pending(&mut self) -> Result<(), LayerError> {
        loop {
            let waiting = std::mem::take(&mut self.pending);
            let before = waiting.len();
            for (path, link) in waiting {
                self.resolve(path, link)?;
            }
            match self.pending.first() {
                None => return Ok(()),
                Some((path, link)) if self.pending.len() == before => {
                    let reason = "the target is not in the layer";
                    return Err(LayerError::HardLink { path: shown(path), target: shown(link), reason });
                }
                Some(_) => {}
            }
        }
    }

    fn resolve(&mut self, path: Vec<u8>, link: Vec<u8>) -> Result<(), LayerError> {
        let Some(target) = self.link_target(&link)? else {
            self.pending.push((path, link));
            return Ok(());
        };
        let parts = names::parts(&path)?;
        let (&name, parents) = parts.split_last().expect("checked when the entry was read");
        let parent = self.tree.directory(parents, true, &path)?.expect("made where missing");
        // A later entry took the name: it wins.
        if self.tree.child(parent, name).is_some() {
            return Ok(());
        }
        self.make_link(parent, name, target, &path, &link)
    }
}

fn attributes(entry: &Entry, kind: u16) -> Attributes {
    Attributes {
        mode: kind | entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        atime: entry.atime.unwrap_or(entry.mtime),
        ctime: entry.ctime.unwrap_or(entry.mtime),
    }
}

fn device(entry: &Entry, major: u32, minor: u32) -> Result<Content, LayerError> {
    let body = inode::device_body(major, minor).ok_or_else(|| {
        attribute_error(&entry.path, "device number", "major over 4095 or minor over 1048575")
    })?;
    Ok(Content { body, ..Content::default() })
}

/// Attributes by which an image could send overlayfs to places it does not own.
fn misleads_overlay(overlay: bool, name: &[u8]) -> bool {
    overlay && name.starts_with(b"trusted.overlay.")
}

pub(super) fn attribute_error(path: &[u8], attribute: impl Into<String>, reason: &'static str) -> LayerError {
    LayerError::Attribute { path: shown(path), attribute: attribute.into(), reason }
}

/// Why an attribute is refused, in words.
pub(super) fn refusal_reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NameSpace => "unknown name space",
        Refusal::Room => "more extended attributes than fit into a block (4 KiB)",
        Refusal::Acl => "not an access control list",
        Refusal::Name => "name empty or over 255 bytes",
    }
}
