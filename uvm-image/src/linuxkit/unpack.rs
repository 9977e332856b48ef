//! An image's files on their way into the stream: what is left out, what is replaced, what is always there.

use std::io::{self, Read};

use lcow_disk::tar::{Entry, Kind, Reader, TarError};
use lcow_oci::store::StoreError;

use super::flatten::flatten;
use super::images::Found;
use super::stream::{Origin, Stream};

/// Why an image cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The store does not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is damaged.
    #[error("cannot unpack {image}")]
    Tar {
        /// The image.
        image: String,
        /// What is wrong.
        source: TarError,
    },
    /// A path leads out of the root.
    #[error(
        "{image} has the path {path:?}, which cannot be in a root: it has .. or a NUL, or is longer than 4096 bytes"
    )]
    Path {
        /// The image.
        image: String,
        /// The path.
        path: String,
    },
    /// A path without end.
    #[error("{image} has the path {path:?}, on which there are too many symbolic links")]
    Loop {
        /// The image.
        image: String,
        /// The path.
        path: String,
    },
    /// One path would have to be a file and a directory.
    #[error("{image}: {file} is no directory in the layer that has {path}")]
    NotDirectory {
        /// The image.
        image: String,
        /// The path that comes later.
        path: String,
        /// The one of the two that is no directory.
        file: String,
    },
    /// A hard link to nothing.
    #[error("{image}: {path} is a hard link to {target}, which is in no layer")]
    Dangling {
        /// The image.
        image: String,
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
    /// It cannot be written.
    #[error("cannot collect files in a temporary file in {}", std::env::temp_dir().display())]
    Write(#[from] io::Error),
}

/// What the image's name resolution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// That of the whole machine, made at run time.
    Machine,
    /// None: what the container is given at run time takes its place.
    Container,
}

/// Alpine's list of packages.
const PACKAGES: &str = "lib/apk/db/installed";
const DROPPED: &[&str] = &[".dockerenv", "Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname"];

/// What every root has, in LinuxKit's order, and what becomes of the image's own.
const USUAL: &[(&str, Usual)] = &[
    ("dev", Usual::Directory),
    ("dev/pts", Usual::Directory),
    ("dev/shm", Usual::Directory),
    ("etc", Usual::Directory),
    ("etc/hosts", Usual::Hosts),
    ("etc/mtab", Usual::Mtab),
    ("etc/resolv.conf", Usual::Resolver),
    ("proc", Usual::Directory),
    ("sys", Usual::Directory),
];

/// Something that every root has.
#[derive(Clone, Copy)]
enum Usual {
    /// Comes again, behind the image's own.
    Directory,
    /// Takes the place of the image's own.
    Hosts,
    /// The image's own is kept.
    Mtab,
    /// Takes the place of the image's own.
    Resolver,
}
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
const NO_RESOLVER: &str = "\n# no resolv.conf configured\n";

/// An image on its way to a place in the root.
pub struct Unpack<'a> {
    /// The image.
    pub image: &'a Found,
    /// The directory it goes to, ending in a slash, or nothing for the root.
    pub prefix: &'a str,
    /// Its name resolution.
    pub resolver: Resolver,
    /// Where the entries come from.
    pub origin: &'a Origin,
    /// Collects the package lists of several images, which are then not written.
    pub packages: Option<&'a mut Vec<u8>>,
}

impl Unpack<'_> {
    /// Writes the image's files to `out`.
    pub fn run(mut self, out: &mut Stream) -> Result<(), UnpackError> {
        let mut seen = Vec::new();
        let collects = self.packages.is_some();
        let replaced = |path: &[u8]| is_replaced(path, collects);
        flatten(self.image, &replaced, &mut |mut entry, layer| {
            if is(DROPPED, &entry.path) {
                return Ok(());
            }
            if let Some((name, usual)) = USUAL.iter().find(|(name, _)| name.as_bytes() == entry.path) {
                seen.push(*name);
                if matches!(usual, Usual::Hosts | Usual::Resolver) {
                    return Ok(self.usual(name, *usual, out)?);
                }
            }
            if let (true, Some(all)) = (entry.path == PACKAGES.as_bytes(), &mut self.packages) {
                Data { reader: layer }.read_to_end(all)?;
                return Ok(());
            }
            if entry.kind == Kind::HardLink {
                entry.link = [self.prefix.as_bytes(), &entry.link].concat();
            }
            entry.path = [self.prefix.as_bytes(), &entry.path].concat();
            // A kernel makes no directories that its initrd does not name.
            out.parents(self.origin, &entry.path)?;
            if entry.segments.is_some() {
                sparse(self.origin, entry, layer, out)?;
            } else {
                out.entry(self.origin, entry, Data { reader: layer })?;
            }
            Ok(())
        })?;
        for (name, usual) in USUAL {
            if matches!(usual, Usual::Directory) || !seen.contains(name) {
                self.usual(name, *usual, out)?;
            }
        }
        Ok(())
    }

    fn usual(&self, name: &str, usual: Usual, out: &mut Stream) -> io::Result<()> {
        let path = format!("{}{name}", self.prefix);
        out.parents(self.origin, path.as_bytes())?;
        match (usual, self.resolver) {
            (Usual::Directory, _) => out.directory(self.origin, &path),
            (Usual::Hosts, _) => out.file(self.origin, &path, 0o644, HOSTS.as_bytes()),
            (Usual::Mtab, _) => out.made(self.origin, Entry::symlink(path, "/proc/mounts")),
            (Usual::Resolver, Resolver::Machine) => {
                out.made(self.origin, Entry::symlink(path, "/run/resolvconf/resolv.conf"))
            }
            (Usual::Resolver, Resolver::Container) => {
                out.file(self.origin, &path, 0o644, NO_RESOLVER.as_bytes())
            }
        }
    }
}

fn is(names: &[&str], path: &[u8]) -> bool {
    names.iter().any(|name| name.as_bytes() == path)
}

/// Whether what an image has at `path` does not come into the root as it is; `collects`: its list of packages neither.
fn is_replaced(path: &[u8], collects: bool) -> bool {
    let replaced = |(name, usual): &(&str, Usual)| {
        matches!(usual, Usual::Hosts | Usual::Resolver) && name.as_bytes() == path
    };
    is(DROPPED, path) || USUAL.iter().any(replaced) || (collects && path == PACKAGES.as_bytes())
}

/// A sparse file, holes and all: few readers know them.
fn sparse(
    origin: &Origin,
    mut entry: Entry,
    reader: &mut Reader<impl Read>,
    out: &mut Stream,
) -> Result<(), UnpackError> {
    let segments = entry.segments.take().unwrap_or_default();
    let mut whole: Box<dyn Read + '_> = Box::new(io::empty());
    let mut at = 0;
    let data = std::rc::Rc::new(std::cell::RefCell::new(Data { reader }));
    for segment in segments {
        let hole = io::repeat(0).take(segment.offset - at);
        at = segment.offset + segment.length;
        whole = Box::new(whole.chain(hole).chain(Shared(data.clone()).take(segment.length)));
    }
    let rest = io::repeat(0).take(entry.size.saturating_sub(at));
    Ok(out.entry(origin, entry, whole.chain(rest))?)
}

/// The data of the current entry.
struct Data<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read_data(buffer).map_err(io::Error::other)
    }
}

/// One reader for the data of several runs.
struct Shared<'a, R>(std::rc::Rc<std::cell::RefCell<Data<'a, R>>>);

impl<R: Read> Read for Shared<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}
