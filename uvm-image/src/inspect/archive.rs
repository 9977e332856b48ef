//! Initrds: a "newc" cpio archive, compressed or not.

use super::Inspected;
use super::components::Files;
use crate::compression::Compression;

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Looks into `bytes`, if they are an initrd.
pub(super) fn inspect(bytes: &[u8]) -> Option<Result<Inspected, String>> {
    let compression = Compression::detect(bytes);
    let unpacked = match compression {
        Compression::None if bytes.starts_with(MAGIC) => bytes.to_vec(),
        Compression::None => return None,
        packed => match packed.decompress(bytes) {
            Ok(unpacked) => unpacked,
            Err(error) => return Some(Err(error.to_string())),
        },
    };
    if !unpacked.starts_with(MAGIC) {
        return None;
    }
    let mut found = Inspected::of("initrd");
    found.fact("compression", compression.name());
    found.fact("unpacked", format!("{} bytes", unpacked.len()));
    Some(files(&unpacked).map(|files| Inspected { components: files.components(), ..found }))
}

/// The files in an archive, by inode where they have several names, else by place.
fn files(archive: &[u8]) -> Result<Files<(bool, u64)>, String> {
    let mut files = Files::new();
    let mut at = 0;
    while let Some(member) = member(archive, at) {
        if member.name == "TRAILER!!!" {
            return Ok(files);
        }
        if member.mode & FILE_TYPE == REGULAR {
            let key = member.linked.map_or((false, at as u64), |inode| (true, inode));
            files.add(key, &member.name, member.size as u64);
        }
        at = member.next;
    }
    Err("the archive ends in the middle of a file".into())
}

struct Member {
    name: String,
    mode: u32,
    size: usize,
    next: usize,
    /// What it has in common with its other names, if there are any.
    linked: Option<u64>,
}

fn member(archive: &[u8], at: usize) -> Option<Member> {
    let header = archive.get(at..at.checked_add(HEADER)?)?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let field = |index: usize| {
        let digits = std::str::from_utf8(&header[6 + index * 8..14 + index * 8]).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (mode, size, name_size) = (field(1)?, field(6)? as usize, field(11)? as usize);
    let name = archive.get(at + HEADER..(at + HEADER).checked_add(name_size)?)?;
    let content = (at + HEADER + name_size).next_multiple_of(4);
    let next = content.checked_add(size)?.next_multiple_of(4);
    if content + size > archive.len() {
        return None;
    }
    let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned();
    let linked = if field(4)? > 1 { Some(u64::from(field(8)?) << 32 | u64::from(field(0)?)) } else { None };
    Some(Member { name, mode, size, next, linked })
}
