//! Directories of this machine as the archives that images are made of.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::Path;

use lcow_disk::tar::{Entry, Writer};

/// What is in `directory` as a tar in a temporary file, at its beginning.
pub(super) fn archive_of(directory: &Path) -> io::Result<File> {
    let mut archive = Writer::new(io::BufWriter::with_capacity(1 << 20, tempfile::tempfile()?));
    add_directory(directory, b"", &mut archive)?;
    let mut file = archive.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

/// Adds what is in `directory` as `prefix/…`, sorted by name; everything belongs to root.
fn add_directory(directory: &Path, prefix: &[u8], archive: &mut Writer<impl io::Write>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = [prefix, entry.file_name().as_encoded_bytes()].concat();
        let metadata = fs::symlink_metadata(entry.path())?;
        let mode = mode_of(&metadata);
        if metadata.is_symlink() {
            let target = fs::read_link(entry.path())?;
            archive.append(&Entry::symlink(name, target.as_os_str().as_encoded_bytes()), io::empty())?;
        } else if metadata.is_dir() {
            archive.append(&Entry::directory(name.clone(), mode), io::empty())?;
            add_directory(&entry.path(), &[&name[..], b"/"].concat(), archive)?;
        } else if metadata.is_file() {
            archive.append(&Entry::file(name, mode, metadata.len()), File::open(entry.path())?)?;
        } else {
            let reason = format!("{}: neither file, directory nor link", entry.path().display());
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> u16 {
    use std::os::unix::fs::PermissionsExt;
    u16::try_from(metadata.permissions().mode() & 0o7777).unwrap_or(0o644)
}

/// Where files have no permissions, all can be executed.
#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u16 {
    0o755
}
