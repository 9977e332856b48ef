//! Detecting and making file systems (spec section 9.4).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use lcow_disk::ext4::mkfs;

use super::Error;

/// Where ext4 has its magic number, and what it is.
const EXT4_MAGIC_AT: u64 = 1024 + 56;
const EXT4_MAGIC: [u8; 2] = [0x53, 0xEF];

/// The type of the file system on `device`, if it is one that we know.
pub(super) fn detect(device: &Path) -> Result<Option<&'static str>, Error> {
    let read = || -> io::Result<[u8; 2]> {
        let mut file = File::open(device)?;
        file.seek(SeekFrom::Start(EXT4_MAGIC_AT))?;
        let mut magic = [0; 2];
        file.read_exact(&mut magic)?;
        Ok(magic)
    };
    match read() {
        Ok(EXT4_MAGIC) => Ok(Some("ext4")),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(Error::io("reading", device)(error)),
    }
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
