//! `uvm-build disk check`.
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek};

use anyhow::{Context, Result, bail};
use clap::Args;
use lcow_disk::ext4::reader::{FileType, Reader};
use lcow_disk::verity::{self, VerityError};

use super::source::{Part, Source};
use crate::cli::output::say;

/// Read a disk completely: every directory, attribute and file, and the hash tree if it has one
#[derive(Debug, Args)]
#[command(after_help = "Bitmaps and counters of free space are not looked at: that is e2fsck's business.")]
pub(crate) struct Check {
    #[command(flatten)]
    source: Source,
}

/// What was found.
#[derive(Default)]
struct Found {
    names: u64,
    bytes: u64,
    /// Names of each inode that is no directory, and what it says itself.
    links: HashMap<u32, (u16, u16)>,
    directories: HashSet<u32>,
}

impl Check {
    pub(super) fn run(self) -> Result<()> {
        let mut disk = self.source.file_system()?;
        let path = self.source.disk.display();
        let mut found = Found::default();
        walk(&mut disk, &mut found).with_context(|| path.to_string())?;
        let Found { names, bytes, .. } = found;
        say(|out| writeln!(out, "{path}: ext4, {names} names, {bytes} bytes of data, {}", state(&disk)))?;
        let size = disk.size();
        drop(disk);
        let mut part = self.source.part()?;
        match tree(&mut part, size) {
            Ok(Some(root)) => say(|out| writeln!(out, "{path}: dm-verity, root hash {root}"))?,
            Ok(None) => {}
            Err(error) => return Err(error).with_context(|| path.to_string()),
        }
        Ok(())
    }
}

fn state(disk: &Reader<Part>) -> &'static str {
    if disk.is_clean() { "clean" } else { "not unmounted properly" }
}

fn tree(part: &mut Part, at: u64) -> Result<Option<String>, VerityError> {
    if part.length() <= at {
        return Ok(None);
    }
    match verity::check(part, at) {
        Ok(found) => Ok(Some(found.root.to_string())),
        Err(VerityError::Missing { .. }) => Ok(None),
        // What is behind a file system may be anything, or too short for a superblock.
        Err(VerityError::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn walk<D: Read + Seek>(disk: &mut Reader<D>, found: &mut Found) -> Result<()> {
    let mut waiting = vec![(Vec::new(), disk.root())];
    while let Some((path, inode)) = waiting.pop() {
        let name = || String::from_utf8_lossy(&path).into_owned();
        let metadata = disk.metadata(inode).with_context(name)?;
        disk.xattrs(inode).with_context(name)?;
        found.names += 1;
        match metadata.file_type {
            FileType::Directory => {
                if !found.directories.insert(inode) {
                    bail!("the directory {:?} has two names", name());
                }
                for entry in disk.read_dir(inode).with_context(name)? {
                    waiting.push(([&path[..], b"/", &entry.name].concat(), entry.inode));
                }
                continue;
            }
            FileType::File if !found.links.contains_key(&inode) => {
                let mut file = disk.file(inode).with_context(name)?;
                found.bytes += io::copy(&mut file, &mut io::sink()).with_context(name)?;
            }
            FileType::Symlink => drop(disk.read_link(inode).with_context(name)?),
            _ => {}
        }
        found.links.entry(inode).or_insert((0, metadata.links)).0 += 1;
    }
    match found.links.iter().find(|(_, (names, links))| names != links) {
        Some((inode, (names, links))) => bail!("inode {inode} has {names} names, but counts {links}"),
        None => Ok(()),
    }
}
