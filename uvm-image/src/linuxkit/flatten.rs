//! An image's layers as one sequence of entries in LinuxKit's order: the top layer's first, and nothing that a higher layer
//! hides. Each layer is unpacked once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::BufReader;

use lcow_disk::tar::{Entry, Kind, Links, Reader, TarError};
use lcow_oci::layer::LayerReader;

use super::images::Found;
use super::paths::{self, text};
use super::stream::MADE;
use super::unpack::UnpackError;

/// image-spec, `layer.md`, "Whiteouts".
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names like this are the bookkeeping of a file system.
const RESERVED: &[u8] = b".wh..wh.";

/// A layer, at one of its entries.
pub type Layer = Reader<BufReader<LayerReader>>;

/// Calls `each` for every entry of `found`'s files; paths are relative and clean, also those of hard links. Where `replaced`
/// says that `each` does not pass on what the image has at a path, no hard link counts on it.
pub fn flatten(
    found: &Found,
    replaced: &dyn Fn(&[u8]) -> bool,
    each: &mut dyn FnMut(Entry, &mut Layer) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut walk = Walk { found, replaced, each, above: Above::default(), early: Vec::new() };
    for at in (0..found.layers()).rev() {
        walk.layer(at)?;
    }
    walk.early.first().map_or(Ok(()), |link| Err(walk.dangling(link)))
}

struct Walk<'a> {
    found: &'a Found,
    replaced: &'a dyn Fn(&[u8]) -> bool,
    each: &'a mut dyn FnMut(Entry, &mut Layer) -> Result<(), UnpackError>,
    above: Above,
    /// Hard links to what lower layers have.
    early: Vec<Entry>,
}

/// What higher layers have, and what they hide of lower ones.
#[derive(Default)]
struct Above {
    /// Paths, and whether each is a directory.
    names: HashMap<Vec<u8>, bool>,
    /// Directories of paths, which need not have entries of their own.
    implied: HashSet<Vec<u8>>,
    /// Directories of whiteouts, which need neither.
    hollow: BTreeSet<Vec<u8>>,
    /// Paths that are no longer there, nor what was in them.
    gone: HashSet<Vec<u8>>,
    /// Directories of which nothing is left.
    emptied: HashSet<Vec<u8>>,
}

impl Above {
    fn hides(&self, path: &[u8], is_directory: bool) -> bool {
        self.names.contains_key(path)
            || self.gone.contains(path)
            || self.emptied.contains(&b""[..])
            || (!is_directory && (self.implied.contains(path) || self.hollow.contains(path)))
            || paths::parents(path).any(|parent| {
                self.gone.contains(parent)
                    || self.emptied.contains(parent)
                    || self.names.get(parent) == Some(&false)
            })
    }

    /// Notes an entry of the layer that this is about; fails with the one of two paths that would have to be a directory.
    fn add(&mut self, path: &[u8], is_directory: bool) -> Result<(), Vec<u8>> {
        if let Some(file) = paths::parents(path).find(|parent| self.names.get(*parent) == Some(&false)) {
            return Err(file.to_vec());
        }
        if !is_directory && self.implied.contains(path) {
            return Err(path.to_vec());
        }
        self.names.insert(path.to_vec(), is_directory);
        self.implied.extend(paths::parents(path).map(<[u8]>::to_vec));
        Ok(())
    }

    fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        self.implied.extend(other.implied);
        self.hollow.extend(other.hollow);
        self.gone.extend(other.gone);
        self.emptied.extend(other.emptied);
    }
}

/// What the entries of one layer are.
#[derive(Default)]
struct Here {
    above: Above,
    /// Where paths through the layer's own symbolic links lead.
    symlinks: Links,
    /// The first name of each file that has several: for links to files that are hidden.
    first: HashMap<Vec<u8>, Vec<u8>>,
    /// For hidden files the names they have now.
    moved: HashMap<Vec<u8>, Vec<u8>>,
    /// Further links to those.
    links: Vec<Entry>,
    /// Links to what lower layers have.
    early: Vec<Entry>,
    /// What all such links name, also those that are hidden: for links to them.
    below: HashMap<Vec<u8>, Vec<u8>>,
}

impl Walk<'_> {
    fn layer(&mut self, at: usize) -> Result<(), UnpackError> {
        let mut here = Here::default();
        let mut layer = self.open(at)?;
        while let Some(mut entry) = layer.next_entry().map_err(|source| self.damaged(source))? {
            let path = self.place(&entry.path, &here)?;
            let (folder, name) = split(&path);
            if name == OPAQUE {
                here.above.emptied.insert(folder.to_vec());
                self.hollow(&path, &mut here);
            } else if name.starts_with(RESERVED) || path.is_empty() {
                // Nothing of the image.
            } else if let Some(gone) = name.strip_prefix(WHITEOUT) {
                let start = path.len() - name.len();
                here.above.gone.insert([&path[..start], gone].concat());
                self.hollow(&path, &mut here);
            } else if entry.kind == Kind::HardLink {
                entry.link = self.place(&entry.link, &here)?;
                entry.path = path;
                self.link(entry, &mut here, &mut layer)?;
            } else {
                entry.path = path;
                self.entry(entry, &mut here, &mut layer)?;
            }
        }
        // To the very end, where the content is checked.
        layer.drain().map_err(|source| self.damaged(source))?;
        self.early(&mut here, &mut layer)?;
        self.early.append(&mut here.early);
        let above = self.recover(at, here)?;
        self.above.extend(above);
        if at == 0 { self.empty(&mut layer) } else { Ok(()) }
    }

    /// Notes the directories of the whiteout at `path`, unless they are hidden or cannot be there.
    fn hollow(&self, path: &[u8], here: &mut Here) {
        let is_there = |parent: &&[u8]| {
            let is_above = self.above.names.get(*parent) == Some(&true);
            here.above.names.get(*parent) != Some(&false) && (is_above || !self.above.hides(parent, true))
        };
        let parents: Vec<Vec<u8>> = paths::parents(path).take_while(is_there).map(<[u8]>::to_vec).collect();
        here.above.hollow.extend(parents);
    }

    /// Passes on the directories that no layer has anything in, and no entry for.
    fn empty(&mut self, layer: &mut Layer) -> Result<(), UnpackError> {
        for path in std::mem::take(&mut self.above.hollow) {
            if !self.above.names.contains_key(&path) && !self.above.implied.contains(&path) {
                let mut entry = Entry::directory(path, 0o755);
                entry.mtime.seconds = MADE;
                (self.each)(entry, layer)?;
            }
        }
        Ok(())
    }

    /// Anything but a hard link.
    fn entry(&mut self, entry: Entry, here: &mut Here, layer: &mut Layer) -> Result<(), UnpackError> {
        here.symlinks.note(&entry.path, entry.kind, &entry.link);
        here.first.insert(entry.path.clone(), entry.path.clone());
        if self.note(&entry, here)? { (self.each)(entry, layer) } else { Ok(()) }
    }

    /// Notes that an entry is there, unless a higher layer hides it.
    fn note(&self, entry: &Entry, here: &mut Here) -> Result<bool, UnpackError> {
        let is_directory = entry.kind == Kind::Directory;
        if self.above.hides(&entry.path, is_directory) {
            if !is_directory {
                // What it hid itself stays hidden, also where a directory has taken its place.
                here.above.gone.insert(entry.path.clone());
            }
            return Ok(false);
        }
        here.above.add(&entry.path, is_directory).map_err(|file| UnpackError::NotDirectory {
            image: self.found.name.clone(),
            path: text(&entry.path),
            file: text(&file),
        })?;
        Ok(true)
    }

    /// A hard link; one whose target is in a lower layer waits for that.
    fn link(&mut self, mut entry: Entry, here: &mut Here, layer: &mut Layer) -> Result<(), UnpackError> {
        let first = here.first.get(&entry.link).cloned();
        if entry.path == entry.link {
            // It keeps what is there.
            return if first.is_some() { Ok(()) } else { Err(self.dangling(&entry)) };
        }
        here.symlinks.note(&entry.path, entry.kind, &entry.link);
        if let Some(first) = &first {
            here.first.insert(entry.path.clone(), first.clone());
        } else {
            if let Some(target) = here.below.get(&entry.link) {
                entry.link.clone_from(target);
            }
            here.below.insert(entry.path.clone(), entry.link.clone());
        }
        if !self.note(&entry, here)? {
            return Ok(());
        }
        match first {
            None => here.early.push(entry),
            Some(first) => self.linked(entry, &first, here, layer)?,
        }
        Ok(())
    }

    /// Links of higher layers whose targets this one has.
    fn early(&mut self, here: &mut Here, layer: &mut Layer) -> Result<(), UnpackError> {
        for entry in std::mem::take(&mut self.early) {
            match here.first.get(&entry.link).cloned() {
                Some(first) => self.linked(entry, &first, here, layer)?,
                None => self.early.push(entry),
            }
        }
        Ok(())
    }

    /// Passes on a link to the file `first` of this layer, or makes it that file if nothing else is.
    fn linked(
        &mut self,
        mut entry: Entry,
        first: &[u8],
        here: &mut Here,
        layer: &mut Layer,
    ) -> Result<(), UnpackError> {
        let is_there = here.above.names.contains_key(first) && !(self.replaced)(first);
        if is_there || (self.replaced)(&entry.path) {
            entry.link = first.to_vec();
            return (self.each)(entry, layer);
        }
        if let Some(target) = here.moved.get(first) {
            entry.link.clone_from(target);
            here.links.push(entry);
        } else {
            here.moved.insert(first.to_vec(), entry.path);
        }
        Ok(())
    }

    /// Passes on the hidden files of a layer that have other names, and links to them.
    fn recover(&mut self, at: usize, mut here: Here) -> Result<Above, UnpackError> {
        if here.moved.is_empty() {
            return Ok(here.above);
        }
        let mut layer = self.open(at)?;
        while let Some(mut entry) = layer.next_entry().map_err(|source| self.damaged(source))? {
            let path = self.place(&entry.path, &here)?;
            if entry.kind != Kind::HardLink
                && let Some(name) = here.moved.remove(&path)
            {
                entry.path = name;
                (self.each)(entry, &mut layer)?;
            }
        }
        for entry in here.links {
            (self.each)(entry, &mut layer)?;
        }
        Ok(here.above)
    }

    fn open(&self, at: usize) -> Result<Layer, UnpackError> {
        Ok(Reader::new(BufReader::with_capacity(1 << 20, self.found.layer(at)?)))
    }

    /// Where in the root `path` of a layer is.
    fn place(&self, path: &[u8], here: &Here) -> Result<Vec<u8>, UnpackError> {
        let image = || self.found.name.clone();
        let clean = paths::clean(path).map_err(|_| UnpackError::Path { image: image(), path: text(path) })?;
        here.symlinks.resolve(clean).ok_or_else(|| UnpackError::Loop { image: image(), path: text(path) })
    }

    fn dangling(&self, link: &Entry) -> UnpackError {
        UnpackError::Dangling {
            image: self.found.name.clone(),
            path: text(&link.path),
            target: text(&link.link),
        }
    }

    fn damaged(&self, source: TarError) -> UnpackError {
        UnpackError::Tar { image: self.found.name.clone(), source }
    }
}

/// The directory and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
