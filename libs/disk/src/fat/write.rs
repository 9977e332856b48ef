use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::directory::{self, Target};
use super::geometry::{Geometry, RESERVED, TABLES};
use super::tree::{Node, Tree};
use super::{FatError, File, SECTOR};
use crate::bytes::{get32, put, put16, put32};

const ROOT_CLUSTER: u32 = 2;
/// Marks the end of a chain.
const END: u32 = 0x0fff_ffff;
/// Where the boot sector's second copy starts.
const BACKUP: u64 = 6;

/// Make a file system of `size` bytes, a multiple of 512, with `files` at the start of `disk`, which must read as zeros.
/// `label` is the name of the volume: upper-case ASCII, cut off after 11 characters.
pub fn write<W: Write + Seek>(
    disk: &mut W,
    size: u64,
    label: &str,
    files: &[File<'_>],
) -> Result<(), FatError> {
    if !size.is_multiple_of(SECTOR) || size / SECTOR > u32::MAX.into() {
        return Err(FatError::Size { size });
    }
    let tree = Tree::new(files)?;
    let geometry = Geometry::new(size).filter(|geometry| geometry.holds(&tree));
    let Some(geometry) = geometry else {
        return Err(FatError::TooSmall { size, needed: super::smallest(files)? });
    };
    let label = short_label(label);
    let clusters = place(&tree, &geometry);
    for (number, item) in tree.items.iter().enumerate() {
        let first = clusters[number].start;
        match item.node {
            Node::File(data) => put_at(disk, geometry.at(first), data, "a file")?,
            Node::Directory(_) => {
                let bytes = directory_bytes(&tree, &clusters, number, &label);
                put_at(disk, geometry.at(first), &bytes, "a directory")?;
            }
        }
    }
    write_tables(disk, &geometry, &clusters)?;
    let used = u64::from(clusters.last().map_or(ROOT_CLUSTER, |last| last.end) - ROOT_CLUSTER);
    let boot = boot_sector(&geometry, serial(files), &label);
    let information = information_sector(geometry.clusters - used, used as u32 + ROOT_CLUSTER);
    for copy in [BACKUP, 0] {
        put_at(disk, (copy + 1) * SECTOR, &information, "the information sector")?;
        put_at(disk, copy * SECTOR, &boot, "the boot sector")?;
    }
    // The file must be as long as the file system says.
    put_at(disk, size - 1, &[0], "the end")?;
    disk.flush().map_err(|source| FatError::Write { part: "the end", source })
}

/// A run of clusters for every item; the root gets the first, empty files get none.
fn place(tree: &Tree<'_>, geometry: &Geometry) -> Vec<Range<u32>> {
    let mut next = ROOT_CLUSTER;
    let run = |item| {
        let first = next;
        next += tree.bytes(item).div_ceil(geometry.cluster_bytes()) as u32;
        first..next
    };
    tree.items.iter().map(run).collect()
}

fn directory_bytes(tree: &Tree<'_>, clusters: &[Range<u32>], number: usize, label: &[u8; 11]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if number == 0 {
        directory::push_label(&mut bytes, label);
    } else {
        // The root is called cluster 0 by its children.
        let parent = tree.items[number].parent;
        let parent = if parent == 0 { 0 } else { clusters[parent].start };
        directory::push_dots(&mut bytes, clusters[number].start, parent);
    }
    for &child in tree.children(number) {
        let item = &tree.items[child];
        let cluster = clusters[child].start;
        let target = match item.node {
            Node::Directory(_) => Target::Directory { cluster },
            Node::File([]) => Target::File { cluster: 0, size: 0 },
            Node::File(data) => Target::File { cluster, size: data.len() as u32 },
        };
        directory::push(&mut bytes, &item.name, target);
    }
    bytes
}

/// Both allocation tables: every chain counts upwards.
fn write_tables<W: Write + Seek>(
    disk: &mut W,
    geometry: &Geometry,
    clusters: &[Range<u32>],
) -> Result<(), FatError> {
    let end = clusters.last().map_or(ROOT_CLUSTER, |last| last.end);
    let mut table = vec![0; 4 * end as usize];
    // The medium, and "shut down cleanly, no errors".
    put32(&mut table, 0, 0x0fff_fff8);
    put32(&mut table, 4, END);
    for chain in clusters {
        for cluster in chain.clone() {
            let next = if cluster + 1 == chain.end { END } else { cluster + 1 };
            put32(&mut table, 4 * cluster as usize, next);
        }
    }
    for copy in 0..TABLES {
        let at = (RESERVED + copy * geometry.table_sectors) * SECTOR;
        put_at(disk, at, &table, "the allocation table")?;
    }
    Ok(())
}

fn boot_sector(geometry: &Geometry, serial: u32, label: &[u8; 11]) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    let s = &mut sector[..];
    // A jump over the parameters; nothing boots from here.
    put(s, 0, [0xeb, 0x58, 0x90]);
    put(s, 3, *b"LCOW    ");
    put16(s, 11, SECTOR as u16);
    s[13] = geometry.sectors_per_cluster as u8;
    put16(s, 14, RESERVED as u16);
    s[16] = TABLES as u8;
    // A hard disk, and the geometry that everybody claims.
    s[21] = 0xf8;
    put16(s, 24, 63);
    put16(s, 26, 255);
    put32(s, 32, geometry.sectors as u32);
    put32(s, 36, geometry.table_sectors as u32);
    put32(s, 44, ROOT_CLUSTER);
    put16(s, 48, 1);
    put16(s, 50, BACKUP as u16);
    s[64] = 0x80;
    s[66] = 0x29;
    put32(s, 67, serial);
    put(s, 71, *label);
    put(s, 82, *b"FAT32   ");
    put16(s, 510, 0xaa55);
    sector
}

/// Free clusters, and where to look for one.
fn information_sector(free: u64, next: u32) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    put32(&mut sector, 0, 0x4161_5252);
    put32(&mut sector, 484, 0x6141_7272);
    put32(&mut sector, 488, free as u32);
    put32(&mut sector, 492, next);
    put32(&mut sector, 508, 0xaa55_0000);
    sector
}

fn serial(files: &[File<'_>]) -> u32 {
    let mut digest = Sha256::new();
    for file in files {
        digest.update((file.path.len() as u64).to_le_bytes());
        digest.update(file.path);
        digest.update((file.data.len() as u64).to_le_bytes());
        digest.update(file.data);
    }
    get32(&digest.finalize(), 0)
}

fn short_label(label: &str) -> [u8; 11] {
    let mut short = [b' '; 11];
    for (slot, c) in short.iter_mut().zip(label.chars()) {
        let allowed = c.is_ascii_alphanumeric() || " -_".contains(c);
        *slot = if allowed { c.to_ascii_uppercase() as u8 } else { b'_' };
    }
    short
}

fn put_at<W: Write + Seek>(disk: &mut W, at: u64, bytes: &[u8], part: &'static str) -> Result<(), FatError> {
    let write = |disk: &mut W| -> io::Result<()> {
        disk.seek(SeekFrom::Start(at))?;
        disk.write_all(bytes)
    };
    write(disk).map_err(|source| FatError::Write { part, source })
}
