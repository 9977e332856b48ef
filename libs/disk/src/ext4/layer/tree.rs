//! The names of the layer and the inodes they lead to.
use std::collections::{BTreeMap, HashMap, VecDeque};

use super::error::{LayerError, shown};
use super::node::{Child, Directory, Node};
use crate::ext4::inode::{self, Attributes, Content, mode};
use crate::ext4::layout::{FIRST_INODE, MAX_LINKS, ROOT_INODE};

/// Symbolic links that one name may go through, as in the kernel.
const MAX_HOPS: u32 = 40;

/// All inodes and directories.
pub(super) struct Tree {
    /// Inode n is at n - 1.
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) directories: HashMap<u32, Directory>,
    /// Blocks of files that were replaced: first, count.
    pub(super) orphans: Vec<(u32, u32)>,
    /// Targets that do not stand in the inode.
    pub(super) long_targets: HashMap<u32, Box<[u8]>>,
    pub(super) layer: u32,
    free: Vec<u32>,
}

impl Tree {
    /// Just a root directory.
    pub(super) fn new() -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            directories: HashMap::new(),
            orphans: Vec::new(),
            long_targets: HashMap::new(),
            layer: 0,
            free: Vec::new(),
        };
        tree.nodes.resize_with(FIRST_INODE as usize - 1, || None);
        tree.place_directory(ROOT_INODE, ROOT_INODE, default_attributes());
        tree
    }

    pub(super) fn child(&self, directory: u32, name: &[u8]) -> Option<u32> {
        Some(self.entry(directory, name)?.inode)
    }

    pub(super) fn entry(&self, directory: u32, name: &[u8]) -> Option<Child> {
        self.directories.get(&directory)?.children.get(name).copied()
    }

    pub(super) fn node(&self, inode: u32) -> &Node {
        self.nodes[inode as usize - 1].as_ref().expect("named inodes are in use")
    }

    /// The directory that `parts` lead to, made on the way where nothing is. Symbolic links are followed as if the
    /// layer's root were `/`. `None` if something is missing and `create` is off.
    pub(super) fn directory(
        &mut self,
        parts: &[&[u8]],
        create: bool,
        path: &[u8],
    ) -> Result<Option<u32>, LayerError> {
        let mut current = ROOT_INODE;
        for (done, part) in parts.iter().enumerate() {
            current = match self.child(current, part) {
                Some(next) if self.node(next).is_directory() => next,
                Some(next) if self.node(next).is_symlink() => {
                    let rest = parts[done..].iter().map(|part| part.to_vec()).collect();
                    return self.follow(current, rest, create, path);
                }
                found => match self.step(current, part, found, create, path)? {
                    Some(next) => next,
                    None => return Ok(None),
                },
            };
        }
        Ok(Some(current))
    }

    fn follow(
        &mut self,
        mut current: u32,
        mut rest: VecDeque<Vec<u8>>,
        create: bool,
        path: &[u8],
    ) -> Result<Option<u32>, LayerError> {
        let mut hops = 0;
        while let Some(part) = rest.pop_front() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    current = self.directories[&current].parent;
                    continue;
                }
                _ => {}
            }
            let found = self.child(current, &part);
            let Some(link) = found.filter(|&next| self.node(next).is_symlink()) else {
                match self.step(current, &part, found, create, path)? {
                    Some(next) => current = next,
                    None => return Ok(None),
                }
                continue;
            };
            hops += 1;
            if hops > MAX_HOPS {
                return Err(LayerError::Name { path: shown(path), reason: "too many symbolic links" });
            }
            let target = self.target(link).to_vec();
            if target.starts_with(b"/") {
                current = ROOT_INODE;
            }
            for part in target.split(|&b| b == b'/').rev() {
                rest.push_front(part.to_vec());
            }
        }
        Ok(Some(current))
    }

    /// Go from a directory to `found`, its child `part`, which may be missing or no directory.
    fn step(
        &mut self,
        current: u32,
        part: &[u8],
        found: Option<u32>,
        create: bool,
        path: &[u8],
    ) -> Result<Option<u32>, LayerError> {
        match found {
            Some(next) if self.node(next).is_directory() => Ok(Some(next)),
            Some(next) if self.node(next).whiteout && create => {
                // Removed from below and made anew in this layer: nothing of the old one may show.
                let next = self.make_directory(current, part, default_attributes(), Some(next));
                self.directories.get_mut(&next).expect("just made").opaque = true;
                Ok(Some(next))
            }
            Some(_) if !create => Ok(None),
            Some(_) => Err(LayerError::NotDirectory { path: shown(path), at: shown(part) }),
            None if create => Ok(Some(self.make_directory(current, part, default_attributes(), None))),
            None => Ok(None),
        }
    }

    fn target(&self, link: u32) -> &[u8] {
        self.long_targets
            .get(&link)
            .map_or_else(|| inode::short_target(&self.node(link).fixed), |target| &target[..])
    }

    /// Put a new directory under `name`, in place of the inode `old` if that is there.
    pub(super) fn make_directory(
        &mut self,
        parent: u32,
        name: &[u8],
        attributes: Attributes,
        old: Option<u32>,
    ) -> u32 {
        if let Some(old) = old {
            self.drop_name(old);
        }
        let number = self.allocate();
        self.place_directory(number, parent, attributes);
        self.link(parent, name, number);
        number
    }

    /// Add an inode; it has no name yet.
    pub(super) fn add(&mut self, node: Node) -> u32 {
        let number = self.allocate();
        self.nodes[number as usize - 1] = Some(node);
        number
    }

    /// Enter a name; it must be free.
    pub(super) fn link(&mut self, parent: u32, name: &[u8], inode: u32) {
        let directory = self.directories.get_mut(&parent).expect("parents are directories");
        directory.children.insert(name.into(), Child { inode, layer: self.layer });
    }

    /// One more name for an inode; `false` if it has as many as there can be.
    pub(super) fn count_link(&mut self, number: u32) -> bool {
        let node = self.nodes[number as usize - 1].as_mut().expect("named inodes are in use");
        let links = inode::links_of(&node.fixed);
        if links >= MAX_LINKS {
            return false;
        }
        inode::set_links(&mut node.fixed, links + 1);
        true
    }

    /// Remove a name and whatever only it led to.
    pub(super) fn unlink(&mut self, parent: u32, name: &[u8]) {
        let directory = self.directories.get_mut(&parent).expect("parents are directories");
        if let Some(child) = directory.children.remove(name) {
            self.drop_name(child.inode);
        }
    }

    fn drop_name(&mut self, number: u32) {
        let mut doomed = vec![number];
        while let Some(number) = doomed.pop() {
            if let Some(directory) = self.directories.remove(&number) {
                doomed.extend(directory.children.into_values().map(|child| child.inode));
            }
            let slot = &mut self.nodes[number as usize - 1];
            let node = slot.as_mut().expect("named inodes are in use");
            let links = inode::links_of(&node.fixed);
            if links > 1 && !node.is_directory() {
                inode::set_links(&mut node.fixed, links - 1);
                continue;
            }
            if node.blocks.1 > 0 {
                self.orphans.push(node.blocks);
            }
            *slot = None;
            self.long_targets.remove(&number);
            self.free.push(number);
        }
    }

    fn allocate(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() as u32
        })
    }

    fn place_directory(&mut self, number: u32, parent: u32, attributes: Attributes) {
        let fixed = inode::encode(&attributes, &Content::default());
        self.nodes[number as usize - 1] = Some(Node { fixed, tail: None, blocks: (0, 0), whiteout: false });
        let directory =
            Directory { parent, children: BTreeMap::new(), attributes, xattrs: Vec::new(), opaque: false };
        self.directories.insert(number, directory);
    }
}

/// Of a directory that the stream names only as a part of others.
fn default_attributes() -> Attributes {
    Attributes { mode: mode::DIRECTORY | 0o755, ..Attributes::default() }
}
