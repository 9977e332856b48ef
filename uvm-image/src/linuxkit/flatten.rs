//! An image's layers as one sequence of entries in LinuxKit's order: the top layer's first, and nothing that a higher layer
//! hides. Each layer is unpacked once.

use std::collections::{HashMap, HashSet};
use std::io::BufReader;

use lcow_disk::tar::{Entry, Kind, Reader, TarError};
use lcow_oci::layer::LayerReader;

use super::images::Found;
use super::unpack::UnpackError;

/// image-spec, `layer.md`, "Whiteouts".
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Other names like this are the bookkeeping of a file system.
const RESERVED: &str = ".wh..wh.";

/// A layer, at one of its entries.
pub type Layer = Reader<BufReader<LayerReader>>;

/// Calls `each` for every entry of `found`'s files; paths are relative and clean, also those of hard links.
pub fn flatten(
    found: &Found,
    each: &mut dyn FnMut(Entry, &mut Layer) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let mut walk = Walk { found, each, above: Above::default(), early: Vec::new() };
    for at in (0..found.layers()).rev() {
        walk.layer(at)?;
    }
    match walk.early.first() {
        None => Ok(()),
        Some(link) => Err(UnpackError::Dangling {
            image: found.name.clone(),
            path: text(&link.path),
            target: text(&link.link),
        }),
    }
}

struct Walk<'a> {
    found: &'a Found,
    each: &'a mut dyn FnMut(Entry, &mut Layer) -> Result<(), UnpackError>,
    above: Above,
    /// Hard links to what lower layers have.
    early: Vec<Entry>,
}

/// What higher layers have, and what they hide of lower ones.
#[derive(Default)]
struct Above {
    /// Paths, and whether each is a directory.
    names: HashMap<String, bool>,
    /// Paths that are no longer there, nor what was in them.
    gone: HashSet<String>,
    /// Directories of which nothing is left.
    emptied: HashSet<String>,
}

impl Above {
    fn hides(&self, path: &str) -> bool {
        if self.names.contains_key(path) || self.gone.contains(path) || self.emptied.contains("") {
            return true;
        }
        path.match_indices('/').map(|(at, _)| &path[..at]).any(|parent| {
            self.gone.contains(parent)
                || self.emptied.contains(parent)
                || self.names.get(parent) == Some(&false)
        })
    }
}

/// What the entries of one layer are.
#[derive(Default)]
struct Here {
    above: Above,
    /// The first name of each file that has several: for links to files that are hidden.
    first: HashMap<String, String>,
    /// For hidden files the names they have now.
    moved: HashMap<String, String>,
    /// Further links to those.
    links: Vec<Entry>,
    /// Links to what lower layers have.
    early: Vec<Entry>,
}

impl Walk<'_> {
    fn layer(&mut self, at: usize) -> Result<(), UnpackError> {
        let mut here = Here::default();
        let mut layer = self.open(at)?;
        while let Some(mut entry) = layer.next_entry().map_err(|source| self.damaged(source))? {
            let path = clean(&self.found.name, &entry.path)?;
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if name == OPAQUE {
                here.above.emptied.insert(folder.to_owned());
            } else if name.starts_with(RESERVED) || path.is_empty() {
                // Nothing of the image.
            } else if let Some(gone) = name.strip_prefix(WHITEOUT) {
                let path = if folder.is_empty() { gone.to_owned() } else { format!("{folder}/{gone}") };
                here.above.gone.insert(path);
            } else if entry.kind == Kind::HardLink {
                let target = clean(&self.found.name, &entry.link)?;
                (entry.path, entry.link) = (path.into_bytes(), target.into_bytes());
                self.link(entry, &mut here, &mut layer)?;
            } else {
                let hidden = self.above.hides(&path);
                here.first.insert(path.clone(), path.clone());
                if !hidden {
                    here.above.names.insert(path.clone(), entry.kind == Kind::Directory);
                    entry.path = path.into_bytes();
                    (self.each)(entry, &mut layer)?;
                }
            }
        }
        // To the very end, where the content is checked.
        layer.drain().map_err(|source| self.damaged(source))?;
        self.early(&mut here, &mut layer)?;
        self.early.append(&mut here.early);
        let Above { names, gone, emptied } = self.recover(at, here)?;
        self.above.names.extend(names);
        self.above.gone.extend(gone);
        self.above.emptied.extend(emptied);
        Ok(())
    }

    /// A hard link; one whose target is in a lower layer waits for that.
    fn link(&mut self, entry: Entry, here: &mut Here, layer: &mut Layer) -> Result<(), UnpackError> {
        let path = text(&entry.path);
        let hidden = self.above.hides(&path);
        let first = here.first.get(&text(&entry.link)).cloned();
        if let Some(first) = &first {
            here.first.insert(path.clone(), first.clone());
        }
        if hidden || entry.path == entry.link {
            return Ok(());
        }
        here.above.names.insert(path, false);
        match first {
            None => here.early.push(entry),
            Some(first) => self.linked(entry, &first, here, layer)?,
        }
        Ok(())
    }

    /// Links of higher layers whose targets this one has.
    fn early(&mut self, here: &mut Here, layer: &mut Layer) -> Result<(), UnpackError> {
        for entry in std::mem::take(&mut self.early) {
            match here.first.get(&text(&entry.link)).cloned() {
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
        first: &str,
        here: &mut Here,
        layer: &mut Layer,
    ) -> Result<(), UnpackError> {
        let visible = here.above.names.contains_key(first).then_some(first);
        if let Some(target) = visible {
            entry.link = target.as_bytes().to_vec();
            return (self.each)(entry, layer);
        }
        if let Some(target) = here.moved.get(first) {
            entry.link = target.as_bytes().to_vec();
            here.links.push(entry);
        } else {
            here.moved.insert(first.to_owned(), text(&entry.path));
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
            let path = clean(&self.found.name, &entry.path)?;
            if let Some(name) = here.moved.remove(&path) {
                entry.path = name.into_bytes();
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

    fn damaged(&self, source: TarError) -> UnpackError {
        UnpackError::Tar { image: self.found.name.clone(), source }
    }
}

/// A path without `.` and empty parts.
fn clean(image: &str, path: &[u8]) -> Result<String, UnpackError> {
    let bad = || UnpackError::Path { image: image.to_owned(), path: text(path) };
    let text = std::str::from_utf8(path).map_err(|_| bad())?;
    if text.split('/').any(|part| part == "..") {
        return Err(bad());
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    Ok(parts.join("/"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
