//! Detecting and making file systems (spec section 9.4).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use lcow_disk::ext4::mkfs;

use super::Error;

/// A file system that we know.
struct Known {
    kind: &'static str,
    magic: &'static [u8],
    /// Where it has its magic number.
    at: usize,
    /// What mounts it without writing what its journal holds.
    no_replay: &'static str,
}

const KNOWN: [Known; 2] = [
    Known { kind: "ext4", magic: &[0x53, 0xEF], at: 1024 + 56, no_replay: "noload" },
    Known { kind: "xfs", magic: b"XFSB", at: 0, no_replay: "norecovery" },
];

/// Where the magic numbers are.
const BEGINNING: usize = 2048;

/// The type of the file system on `device`, if it is one that we know.
pub(super) fn detect(device: &Path) -> Result<Option<&'static str>, Error> {
    let mut beginning = [0; BEGINNING];
    match File::open(device).and_then(|mut file| file.read_exact(&mut beginning)) {
        Ok(()) => Ok(kind(&beginning)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(Error::io("reading", device)(error)),
    }
}

fn kind(beginning: &[u8; BEGINNING]) -> Option<&'static str> {
    KNOWN.iter().find(|known| beginning[known.at..].starts_with(known.magic)).map(|known| known.kind)
}

/// The mount option with which a file system of type `kind` leaves its disk as it is, journal and all.
pub(super) fn no_replay(kind: &str) -> &'static str {
    KNOWN.iter().find(|known| known.kind == kind).map_or("", |known| known.no_replay)
}

/// The length of `device` in bytes.
pub(super) fn size(device: &Path) -> Result<u64, Error> {
    let mut file = File::open(device).map_err(Error::io("opening", device))?;
    file.seek(SeekFrom::End(0)).map_err(Error::io("measuring", device))
}

/// Makes an ext4 on all of `device`.
pub(crate) fn format_ext4(device: &Path) -> Result<(), Error> {
    format(device, "ext4")
}

/// Makes a file system of type `kind` on all of `device`.
pub(super) fn format(device: &Path, kind: &str) -> Result<(), Error> {
    if kind != "ext4" {
        return Err(Error::UnsupportedFilesystem(kind.to_owned()));
    }
    let mut file =
        OpenOptions::new().read(true).write(true).open(device).map_err(Error::io("opening", device))?;
    let size = file.seek(SeekFrom::End(0)).map_err(Error::io("measuring", device))?;
    let failed = |source| Error::Format { path: device.to_owned(), source };
    mkfs::format(&mut file, size, &mkfs::Options::default()).map_err(failed)?;
    file.sync_all().map_err(Error::io("writing", device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_known_by_their_magic_numbers() {
        let mut ext4 = [0; BEGINNING];
        ext4[0x438..0x43a].copy_from_slice(&0xef53_u16.to_le_bytes());
        let mut xfs = [0; BEGINNING];
        xfs[..4].copy_from_slice(&0x5846_5342_u32.to_be_bytes());
        assert_eq!((kind(&ext4), kind(&xfs), kind(&[0; BEGINNING])), (Some("ext4"), Some("xfs"), None));
    }
}
