//! Tar archives: LinuxKit's outputs `NAME.tar`, `NAME.docker` and `NAME-initrd.tar`.

use std::io::Cursor;

use lcow_disk::tar::{Kind, Reader, TarError};

use super::Inspected;
use super::components::Files;

/// Where a header has the format's name, and the name.
const MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Looks into `bytes`, if they are a tar archive.
pub(super) fn inspect(bytes: &[u8]) -> Option<Result<Inspected, String>> {
    let (at, magic) = MAGIC;
    bytes.get(at..)?.starts_with(magic).then(|| files(bytes).map_err(|error| error.to_string()))
}

fn files(bytes: &[u8]) -> Result<Inspected, TarError> {
    let mut found = Inspected::of("tar archive");
    let mut reader = Reader::new(Cursor::new(bytes));
    let mut files = Files::new();
    let mut boot = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        match &entry.kind {
            Kind::File => {
                if ["kernel", "initrd.img", "cmdline", "Dockerfile"].contains(&&path[..]) {
                    boot.push(format!("{path} ({} bytes)", entry.size));
                }
                files.add(path.clone().into_bytes(), &path, entry.size);
            }
            Kind::HardLink => files.add(entry.link.clone(), &path, 0),
            _ => {}
        }
    }
    if !boot.is_empty() {
        found.fact("has", boot.join(", "));
    }
    found.components = files.components();
    Ok(found)
}
