//! Hard links, also those that come before what they link to.
use std::io::{Seek, Write};

use super::convert::Writer;
use super::error::{LayerError, shown};
use super::names;
use crate::ext4::layout::ROOT_INODE;
use crate::tar::Entry;

impl<W: Write + Seek> Writer<W> {
    pub(super) fn hard_link(&mut self, parent: u32, name: &[u8], entry: &Entry) -> Result<(), LayerError> {
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
    pub(super) fn resolve_pending(&mut self) -> Result<(), LayerError> {
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
