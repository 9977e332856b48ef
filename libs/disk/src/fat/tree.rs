//! Files and directories before they are placed.
use super::directory;
use super::names::{self, Name};
use super::{FatError, File};

/// Largest file: sizes have 32 bits.
const MAX_FILE: u64 = u32::MAX as u64;
/// Largest directory in bytes (specification, "FAT Directory Structure").
const MAX_DIRECTORY: u64 = 2 << 20;

/// What is at a name.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// A file with its bytes.
    File(&'a [u8]),
    /// A directory: numbers of its children.
    Directory(Vec<usize>),
}

#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) parent: usize,
    pub(super) name: Name,
    pub(super) node: Node<'a>,
}

/// All items; number 0 is the root. Parents come before their children.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) items: Vec<Item<'a>>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(files: &[File<'a>]) -> Result<Self, FatError> {
        let root = Item { parent: 0, name: Name::default(), node: Node::Directory(Vec::new()) };
        let mut tree = Self { items: vec![root] };
        for file in files {
            tree.add(file)?;
        }
        let too_large =
            |item: &Item<'_>| matches!(item.node, Node::Directory(_)) && tree.bytes(item) > MAX_DIRECTORY;
        if let Some(item) = tree.items.iter().find(|item| too_large(item)) {
            return Err(names::refuse(&item.name.long, "has too many entries for a FAT directory"));
        }
        Ok(tree)
    }

    fn add(&mut self, file: &File<'a>) -> Result<(), FatError> {
        if file.data.len() as u64 > MAX_FILE {
            return Err(names::refuse(file.path, "is larger than 4 GiB"));
        }
        let mut parts: Vec<&str> = file.path.split('/').filter(|part| !part.is_empty()).collect();
        let Some(last) = parts.pop() else { return Err(names::refuse(file.path, "names no file")) };
        let mut current = 0;
        for part in parts {
            current = match self.find(current, part) {
                Some(found) if matches!(self.items[found].node, Node::Directory(_)) => found,
                Some(_) => return Err(names::refuse(file.path, "lies below a file")),
                None => self.push(current, part, Node::Directory(Vec::new()), file.path)?,
            };
        }
        if self.find(current, last).is_some() {
            return Err(names::refuse(file.path, "is there twice"));
        }
        self.push(current, last, Node::File(file.data), file.path).map(drop)
    }

    fn push(&mut self, parent: usize, name: &str, node: Node<'a>, path: &str) -> Result<usize, FatError> {
        let taken = self.children(parent).iter().map(|&child| self.items[child].name.short);
        let name = Name::new(name, &taken.collect::<Vec<_>>(), path)?;
        let number = self.items.len();
        self.items.push(Item { parent, name, node });
        if let Node::Directory(children) = &mut self.items[parent].node {
            children.push(number);
        }
        Ok(number)
    }

    pub(super) fn children(&self, directory: usize) -> &[usize] {
        match &self.items[directory].node {
            Node::Directory(children) => children,
            Node::File(_) => &[],
        }
    }

    /// Names are found without regard to case.
    fn find(&self, directory: usize, name: &str) -> Option<usize> {
        let wanted = name.to_uppercase();
        let same = |&&child: &&usize| self.items[child].name.long.to_uppercase() == wanted;
        self.children(directory).iter().find(same).copied()
    }

    /// Bytes that an item fills.
    pub(super) fn bytes(&self, item: &Item<'_>) -> u64 {
        match &item.node {
            Node::File(data) => data.len() as u64,
            Node::Directory(children) => {
                let names = children.iter().map(|&child| &self.items[child].name);
                names.map(directory::entry_bytes).sum::<u64>() + directory::OWN_BYTES
            }
        }
    }

    pub(super) fn clusters_of(&self, cluster_bytes: u64) -> u64 {
        self.items.iter().map(|item| self.bytes(item).div_ceil(cluster_bytes)).sum()
    }

    pub(super) fn bytes_with_clusters_of(&self, bytes: u64) -> u64 {
        self.clusters_of(bytes) * bytes
    }
}
