//! Disks: in whatever file, with partitions or without.

use std::io::{Read, Seek};

use lcow_disk::Window;
use lcow_disk::ext4::reader::{FileType, Reader};
use lcow_disk::gpt::Table;
use lcow_disk::image::{Format, Image};
use lcow_disk::verity;

use super::Inspected;
use super::components::Files;
use crate::hex::hex;

/// How deep directories may lie in each other; what is deeper is damage.
const MAX_DEPTH: usize = 64;

/// Looks into `file`, if it is a disk: one with a table of partitions, or with a file system.
pub(super) fn inspect<F: Read + Seek>(file: F) -> Option<Result<Inspected, String>> {
    let mut image = match Image::open(file) {
        Ok(image) => image,
        Err(error) => return Some(Err(error.to_string())),
    };
    let kind = match image.format() {
        Format::Raw => "raw disk",
        Format::FixedVhd => "fixed VHD",
        Format::DynamicVhd => "dynamic VHD",
        Format::Vhdx => "VHDX",
    };
    let is_raw = image.format() == Format::Raw;
    let size = image.size();
    let mut found = Inspected::of(kind);
    found.fact("size", format!("{size} bytes"));
    if let Ok(table) = Table::read(&mut image) {
        for part in &table.partitions {
            found.fact("partition", format!("{} ({} bytes, {})", part.name, part.bytes(), part.id));
        }
        let root = table.partitions.iter().find(|part| part.name == "root");
        return Some(match root {
            Some(root) => file_system(&mut found, root.window(image)).map(|()| found),
            None => Ok(found),
        });
    }
    match file_system(&mut found, Window::new(image, 0, size)) {
        Ok(()) => Some(Ok(found)),
        // Raw bytes are a disk only if there is a file system on them.
        Err(_) if is_raw => None,
        Err(reason) => Some(Err(reason)),
    }
}

fn file_system<D: Read + Seek>(found: &mut Inspected, mut disk: D) -> Result<(), String> {
    let text = |error: lcow_disk::ext4::reader::ReadError| error.to_string();
    let mut reader = Reader::open(&mut disk).map_err(text)?;
    found.fact("ext4", hex(&reader.uuid()));
    let end = reader.size();
    let root = reader.root();
    let mut files = Files::new();
    walk(&mut reader, root, "", 0, &mut files)?;
    found.components = files.components();
    drop(reader);
    if let Ok(tree) = verity::read(&mut disk, end) {
        found.fact("hash tree (dm-verity)", hex(&tree.root.0));
    }
    Ok(())
}

fn walk<D: Read + Seek>(
    reader: &mut Reader<D>,
    directory: u32,
    path: &str,
    depth: usize,
    files: &mut Files<u32>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("directories below {path} are too deep"));
    }
    for entry in reader.read_dir(directory).map_err(|error| error.to_string())? {
        if entry.name == b"." || entry.name == b".." {
            continue;
        }
        let meta = reader.metadata(entry.inode).map_err(|error| error.to_string())?;
        let path = format!("{path}/{}", String::from_utf8_lossy(&entry.name));
        match meta.file_type {
            FileType::Directory => walk(reader, entry.inode, &path, depth + 1, files)?,
            FileType::File => files.add(entry.inode, &path, meta.size),
            _ => {}
        }
    }
    Ok(())
}
