//! What survives of each layer (image-spec, `layer.md`, "Whiteouts").
use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read};

use lcow_disk::tar::{Kind, Links, RECORD, Reader, TarError};

use super::names::{join, place, split};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names like this are the bookkeeping of a file system.
const RESERVED: &[u8] = b".wh..wh.";

/// What happens to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Drop,
    /// Passed on, where given under another name, and as a hard link to another name.
    Pass {
        path: Option<Vec<u8>>,
        link: Option<Vec<u8>>,
    },
    /// A directory in place of what is passed over.
    Directory(Vec<u8>),
}

/// Bytes of a path (`PATH_MAX`). Without a bound an entry could cost the square of its length in time.
const MAX_PATH: usize = 4096;

/// An entry of a layer: where it ends in the stream, and what happens to it.
pub(super) struct Planned {
    pub(super) end: u64,
    pub(super) action: Action,
    /// Its path, and what it names as a hard link, where these go through links of the layer.
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// For a whiteout, its directory, if nothing else makes that.
    folder: Option<Vec<u8>>,
}

impl Planned {
    fn pass(&mut self) {
        self.action = match self.folder.take() {
            Some(folder) => Action::Directory(folder),
            None => Action::Pass { path: self.path.take(), link: self.link.take() },
        };
    }
}

/// An entry: number of the layer, and of the entry in it.
type At = (usize, usize);

/// What is at a path so far.
struct Node {
    /// The entries that make it; a directory may have several.
    entries: Vec<At>,
    directory: bool,
    /// The entry with the data of a hard link; itself for others.
    data: At,
    /// The path that a hard link names.
    link: Option<Vec<u8>>,
}

/// The union of the layers so far.
#[derive(Default)]
pub(super) struct Plan {
    layers: Vec<Vec<Planned>>,
    /// By clean path. What is in a directory follows it: everything that starts with its path and a slash.
    nodes: BTreeMap<Vec<u8>, Node>,
}

/// An entry as a layer has it.
struct Item {
    /// Where its name leads; clean.
    path: Vec<u8>,
    kind: Kind,
    /// For a hard link, where that leads.
    link: Vec<u8>,
    at: usize,
}

impl Plan {
    /// Puts a layer on top. Its stream is read to the end.
    pub(super) fn layer(&mut self, tar: impl Read) -> Result<(), TarError> {
        let number = self.layers.len();
        let (planned, items) = read(tar)?;
        self.layers.push(planned);
        let (mut kept, mut folders) = (Vec::with_capacity(items.len()), Vec::new());
        // Whiteouts are about the layers below, wherever in the layer they are.
        for item in items {
            let (folder, name) = split(&item.path);
            let Some(removed) = name.strip_prefix(WHITEOUT) else {
                kept.push(item);
                continue;
            };
            if name == OPAQUE {
                self.clear(folder);
            } else if name.starts_with(RESERVED) {
                continue;
            } else {
                self.remove(&join(folder, removed));
            }
            self.uncover(number, &item.path);
            folders.push((folder.to_vec(), (number, item.at)));
        }
        let mut early = Vec::new();
        for item in kept {
            self.entry(number, item, &mut early);
        }
        // Links that came before their targets.
        for path in early {
            let target = self.nodes.get(&path).and_then(|node| node.link.clone());
            let data = target.and_then(|target| self.nodes.get(&target)).map(|node| node.data);
            if let (Some(data), Some(node)) = (data, self.nodes.get_mut(&path)) {
                node.data = data;
            }
        }
        self.directories(folders);
        Ok(())
    }

    /// Has whiteouts make the directories that they are in, where nothing else does.
    fn directories(&mut self, folders: Vec<(Vec<u8>, At)>) {
        for (folder, at) in folders {
            if !folder.is_empty() && !self.nodes.contains_key(&folder) {
                self.layers[at.0][at.1].folder = Some(folder.clone());
                self.nodes.insert(folder, Node { entries: vec![at], directory: true, data: at, link: None });
            }
        }
    }

    fn entry(&mut self, layer: usize, item: Item, early: &mut Vec<Vec<u8>>) {
        let at = (layer, item.at);
        if layer > 0 {
            self.uncover(layer, &item.path);
        }
        if item.kind == Kind::Directory {
            if let Some(node) = self.nodes.get_mut(&item.path)
                && node.directory
            {
                node.entries.push(at);
                return;
            }
            // What is in it may be there without it.
            self.nodes.insert(item.path, Node { entries: vec![at], directory: true, data: at, link: None });
            return;
        }
        let link = (item.kind == Kind::HardLink).then_some(item.link);
        let data = link.as_ref().map(|target| self.nodes.get(target).map(|node| node.data));
        if data == Some(None) {
            early.push(item.path.clone());
        }
        // A link to itself keeps what is there.
        if link.as_ref() == Some(&item.path) {
            return;
        }
        self.remove(&item.path);
        let data = data.flatten().unwrap_or(at);
        self.nodes.insert(item.path, Node { entries: vec![at], directory: false, data, link });
    }

    /// Removes what lower layers have in place of the directories above `path`: each layer is a tree of its own, whose
    /// directories need no entries and hide a link or file below them. So no lower layer's link is followed.
    fn uncover(&mut self, layer: usize, path: &[u8]) {
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let parent = &path[..end];
            let hidden = |node: &Node| !node.directory && node.entries.iter().all(|(from, _)| *from < layer);
            if self.nodes.get(parent).is_some_and(hidden) {
                self.nodes.remove(parent);
            }
        }
    }

    /// Removes a path and everything below it.
    fn remove(&mut self, path: &[u8]) {
        self.clear(path);
        self.nodes.remove(path);
    }

    /// Removes everything below a directory.
    fn clear(&mut self, path: &[u8]) {
        if path.is_empty() {
            self.nodes.retain(|path, _| path.is_empty());
            return;
        }
        let (from, to) = (join(path, b""), [path, b"0"].concat());
        let below: Vec<Vec<u8>> = self.nodes.range(from..to).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.nodes.remove(&path);
        }
    }

    /// What happens to the entries of each layer.
    pub(super) fn finish(self) -> Vec<Vec<Planned>> {
        let Self { mut layers, nodes } = self;
        let alive: HashMap<At, &Vec<u8>> = nodes
            .iter()
            .filter(|(_, node)| node.link.is_none())
            .flat_map(|(path, node)| node.entries.iter().map(move |at| (*at, path)))
            .collect();
        // Where each file's data is to be found in the end: under its own name, or else under its first link's.
        let mut homes: HashMap<At, &Vec<u8>> = HashMap::new();
        let mut links: Vec<(&Vec<u8>, &Node, &Vec<u8>)> =
            nodes.iter().filter_map(|(path, node)| Some((path, node, node.link.as_ref()?))).collect();
        links.sort_by_key(|(_, node, _)| node.entries.first().copied());
        for (&at, &path) in &alive {
            layers[at.0][at.1].pass();
            homes.insert(at, path);
        }
        for (path, node, target) in links {
            let own = node.entries[0];
            let planned = &mut layers[own.0][own.1];
            if node.data == own {
                // Its target is in none of the layers; whoever reads the stream says so.
                planned.pass();
                continue;
            }
            let Some(home) = homes.get(&node.data) else {
                let action = Action::Pass { path: Some(path.clone()), link: None };
                layers[node.data.0][node.data.1].action = action;
                homes.insert(node.data, path);
                continue;
            };
            let still = nodes.get(target).is_some_and(|found| found.data == node.data);
            if !still {
                planned.link = Some((*home).clone());
            }
            planned.pass();
        }
        layers
    }
}

/// The entries of a layer, and where each of them ends.
fn read(tar: impl Read) -> Result<(Vec<Planned>, Vec<Item>), TarError> {
    let mut tar = Reader::new(BufReader::with_capacity(64 * 1024, tar));
    let (mut planned, mut items) = (Vec::new(), Vec::new());
    let (mut data, mut links) = (vec![0; 64 * 1024], Links::default());
    while let Some(entry) = tar.next_entry()? {
        if entry.path.len() > MAX_PATH || entry.link.len() > MAX_PATH {
            let reason = "longer than the 4096 bytes that the kernel takes";
            return Err(TarError::Field { offset: tar.offset(), field: "path".to_owned(), reason });
        }
        while tar.read_data(&mut data)? > 0 {}
        let end = tar.offset().next_multiple_of(RECORD as u64);
        let place = |path: &[u8]| {
            place(path, &links).ok_or_else(|| TarError::Field {
                offset: tar.offset(),
                field: "path".to_owned(),
                reason: "goes through more than 40 symbolic links",
            })
        };
        let (path, moved) = place(&entry.path)?;
        let (link, relinked) =
            if entry.kind == Kind::HardLink { place(&entry.link)? } else { (entry.link, false) };
        links.note(&path, entry.kind, &link);
        planned.push(Planned {
            end,
            action: Action::Drop,
            path: moved.then(|| path.clone()),
            link: relinked.then(|| link.clone()),
            folder: None,
        });
        items.push(Item { path, kind: entry.kind, link, at: planned.len() - 1 });
    }
    tar.drain()?;
    Ok((planned, items))
}
