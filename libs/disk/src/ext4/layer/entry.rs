//! One entry of a layer: what its name means and where it goes.
use std::io::{Seek, Write};

use super::content::{SHORT_TARGET, misleads_overlay};
use super::convert::Writer;
use super::error::{LayerError, shown};
use super::names::{self, Meaning};
use super::node::Node;
use super::source::Source;
use crate::ext4::inode::{self, Attributes, Content, mode};
use crate::ext4::layout::{ROOT_INODE, SECTORS_PER_BLOCK};
use crate::ext4::xattr::Refusal;
use crate::tar::{Entry, Kind};

impl<W: Write + Seek> Writer<W> {
    pub(super) fn entry(&mut self, entry: &Entry, data: &mut impl Source) -> Result<(), LayerError> {
        let parts = names::parts(&entry.path)?;
        let meaning =
            if self.has_whiteouts() { names::meaning(&parts, &entry.path)? } else { Meaning::Plain };
        let Some((&name, parents)) = parts.split_last() else { return self.root(entry) };
        if meaning == Meaning::Ignore {
            return Ok(());
        }
        let parent = self.tree.directory(parents, true, &entry.path)?.expect("made where missing");
        match meaning {
            Meaning::Opaque => {
                self.tree.remove_older_children(parent);
                self.tree.set_opaque(parent, self.is_overlay());
                Ok(())
            }
            Meaning::Whiteout(removed) => {
                self.whiteout(parent, removed, entry);
                Ok(())
            }
            _ if entry.kind == Kind::Directory => self.directory(parent, name, entry),
            _ if entry.kind == Kind::HardLink => self.hard_link(parent, name, entry),
            _ => self.leaf(parent, name, entry, data),
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if entry.kind != Kind::Directory {
            return Err(LayerError::Name {
                path: shown(&entry.path),
                reason: "names the root, but is no directory",
            });
        }
        self.set_directory(ROOT_INODE, entry)
    }

    fn directory(&mut self, parent: u32, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let number = match self.tree.child(parent, name) {
            Some(found) if self.tree.node(found).is_directory() => {
                self.tree.renew(parent, name);
                found
            }
            found => {
                // What an earlier layer had here kept the layers below from showing; the directory must do so too.
                let hides = found
                    .is_some_and(|found| self.tree.node(found).whiteout || self.tree.is_older(parent, name));
                let number =
                    self.tree.make_directory(parent, name, attributes(entry, mode::DIRECTORY), found);
                self.tree.set_opaque(number, hides && self.is_overlay());
                number
            }
        };
        self.set_directory(number, entry)
    }

    fn set_directory(&mut self, number: u32, entry: &Entry) -> Result<(), LayerError> {
        // They are written when the directory is complete; what cannot be stored is said now, with the name.
        self.xattrs(entry)?;
        let has_whiteouts = self.has_whiteouts();
        let directory = self.tree.directories.get_mut(&number).expect("a directory");
        directory.attributes = attributes(entry, mode::DIRECTORY);
        directory.xattrs.clone_from(&entry.xattrs);
        directory.xattrs.retain(|(name, _)| !misleads_overlay(has_whiteouts, name));
        Ok(())
    }

    /// Remove `name` of the layers below. What this layer has under it stays (image-spec: whiteouts apply to lower layers
    /// only), but a directory must not be merged with the removed one.
    fn whiteout(&mut self, parent: u32, name: &[u8], entry: &Entry) {
        self.tree.remove_older(parent, name);
        match self.tree.child(parent, name) {
            Some(found) if self.tree.node(found).is_directory() => {
                self.tree.set_opaque(found, self.is_overlay());
            }
            None if self.is_overlay() => {
                let attributes = Attributes { mode: mode::CHAR, ..attributes(entry, 0) };
                let fixed = inode::encode(&attributes, &Content::default());
                let number = self.tree.add(Node { fixed, tail: None, blocks: (0, 0), whiteout: true });
                self.tree.link(parent, name, number);
            }
            Some(_) | None => {}
        }
    }

    /// Everything that is neither a directory nor a hard link.
    fn leaf(
        &mut self,
        parent: u32,
        name: &[u8],
        entry: &Entry,
        data: &mut impl Source,
    ) -> Result<(), LayerError> {
        let first = self.sink.block();
        let (kind, mut content) = self.content(entry, data)?;
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
