//! Disk files and what is in them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;
const SECTOR_LEN: u64 = SECTOR as u64;

/// A disk file for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file, absolute.
    pub path: PathBuf,
    /// Whether the guest's writes are refused. Several machines may share a read-only file.
    pub read_only: bool,
    /// What is in it.
    pub format: Format,
}

/// Contents of a disk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes.
    Raw,
    /// The disk's bytes, of which there are `size`, then a footer (host side reference, 2.3).
    FixedVhd {
        /// The disk's size.
        size: u64,
    },
    /// A VHD with a block table.
    DynamicVhd,
    /// A VHDX.
    Vhdx,
}

/// Why a file cannot be a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be read, or written as asked.
    #[error("cannot open disk {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds no disk.
    #[error("{} is no usable disk: {reason}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Disk {
    /// Looks at a file: VHD by its footer, VHDX by its signature, else raw.
    pub fn open(path: &Path, read_only: bool) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Open { path: path.to_owned(), source };
        let path = path.canonicalize().map_err(failed)?;
        let mut file = File::options().read(true).write(!read_only).open(&path).map_err(failed)?;
        let format = probe(&mut file).map_err(failed)?;
        match format {
            Ok(format) => Ok(Self { path, read_only, format }),
            Err(reason) => Err(DiskError::Bad { path, reason }),
        }
    }
}

fn probe(file: &mut File) -> io::Result<Result<Format, &'static str>> {
    if file.metadata()?.is_dir() {
        return Ok(Err("it is a directory"));
    }
    // Seeking also measures block devices, whose metadata has no length.
    let len = file.seek(SeekFrom::End(0))?;
    if len < SECTOR_LEN {
        return Ok(Err("it is shorter than one sector"));
    }
    let mut sector = [0; SECTOR];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut sector)?;
    if sector.starts_with(b"vhdxfile") {
        return Ok(Ok(Format::Vhdx));
    }
    file.seek(SeekFrom::Start(len - SECTOR_LEN))?;
    file.read_exact(&mut sector)?;
    Ok(if sector.starts_with(b"conectix") { vhd(&sector, len - SECTOR_LEN) } else { Ok(Format::Raw) })
}

/// Reads a VHD footer: current size at 48, disk type at 60, both big endian.
fn vhd(footer: &[u8; SECTOR], before: u64) -> Result<Format, &'static str> {
    let number =
        |range: std::ops::Range<usize>| footer[range].iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    let size = number(48..56);
    match number(60..64) {
        2 if size == 0 || size > before => Err("its VHD footer tells a size that the file does not have"),
        2 => Ok(Format::FixedVhd { size }),
        3 => Ok(Format::DynamicVhd),
        _ => Err("its VHD footer tells a type other than fixed and dynamic"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(parts: &[&[u8]]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        for part in parts {
            file.write_all(part).expect("write");
        }
        file
    }

    fn footer(kind: u8, size: u64) -> Vec<u8> {
        let mut footer = vec![0; 512];
        footer[..8].copy_from_slice(b"conectix");
        footer[48..56].copy_from_slice(&size.to_be_bytes());
        footer[63] = kind;
        footer
    }

    fn format(file: &tempfile::NamedTempFile) -> Option<Format> {
        Disk::open(file.path(), true).ok().map(|disk| disk.format)
    }

    #[test]
    fn formats_are_told_by_their_marks() {
        let data = vec![7; 4096];
        assert_eq!(format(&file(&[&data])), Some(Format::Raw));
        assert_eq!(format(&file(&[&data, &footer(2, 4096)])), Some(Format::FixedVhd { size: 4096 }));
        assert_eq!(format(&file(&[&footer(3, 4096), &data, &footer(3, 4096)])), Some(Format::DynamicVhd));
        assert_eq!(format(&file(&[b"vhdxfile", &data])), Some(Format::Vhdx));
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        assert_eq!(format(&file(&[b"short"])), None);
        assert_eq!(format(&file(&[&[0; 512], &footer(2, 4096)])), None, "size beyond the file");
        assert_eq!(format(&file(&[&[0; 512], &footer(9, 512)])), None, "unknown type");
        let directory = tempfile::tempdir().expect("directory");
        assert!(Disk::open(directory.path(), true).is_err());
    }
}
