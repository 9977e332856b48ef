//! Where a utility VM's kernel and initial RAM disk are found.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Environment variable that names the directory.
pub const VARIABLE: &str = "LCOW_BOOT_FILES";

/// A directory with boot files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFiles {
    /// `vmlinux` where it can be booted directly, else `kernel`.
    pub kernel: PathBuf,
    /// `kernel`, or `bootx64.efi`, which firmware can start; `None` if there is only a `vmlinux`.
    pub efi: Option<PathBuf>,
    /// `initrd.img`, if there is one.
    pub initrd: Option<PathBuf>,
}

/// Why there are no boot files.
#[derive(Debug, thiserror::Error)]
pub enum BootFilesError {
    /// No directory has them.
    #[error("no boot files found; looked in:{}\nmake some with `uvm-build default -o DIR` and give `--boot-files DIR`", list(.0))]
    NotFound(Vec<PathBuf>),
    /// The directory that was asked for lacks a file.
    #[error("boot files directory {} has no {missing}", directory.display())]
    Incomplete {
        /// The directory.
        directory: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read boot file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn list(places: &[PathBuf]) -> String {
    places.iter().fold(String::new(), |list, place| list + "\n  " + &place.to_string_lossy())
}

impl BootFiles {
    /// Looks in `--boot-files`, `$LCOW_BOOT_FILES`, `boot/` beside the program, the user's data directory and the
    /// system's. The first two must have them when they are given; of the others the first that has them is taken.
    pub fn find(given: Option<&Path>) -> Result<Self, BootFilesError> {
        let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(directory) = given.map(Path::to_owned).or(named) {
            return Self::open(&directory)?
                .ok_or(BootFilesError::Incomplete { directory, missing: "vmlinux and no kernel" });
        }
        let places = places();
        for place in &places {
            if let Some(found) = Self::open(place)? {
                return Ok(found);
            }
        }
        Err(BootFilesError::NotFound(places))
    }

    /// The boot files of one directory; `None` without a kernel.
    pub fn open(directory: &Path) -> Result<Option<Self>, BootFilesError> {
        let present = |name| Some(directory.join(name)).filter(|path| path.is_file());
        let vmlinux = present("vmlinux");
        let bootable = vmlinux.filter(|path| has_pvh_note(path));
        let Some(kernel) = bootable.or_else(|| present("kernel")) else { return Ok(None) };
        let efi = present("kernel").or_else(|| present("bootx64.efi"));
        let initrd = present("initrd.img");
        for path in [Some(&kernel), initrd.as_ref()].into_iter().flatten() {
            File::open(path).map_err(|source| BootFilesError::Read { path: path.clone(), source })?;
        }
        Ok(Some(Self { kernel, efi, initrd }))
    }
}

fn places() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("boot")));
    let system: &[&str] =
        if cfg!(windows) { &[] } else { &["/usr/local/share/lcow/boot", "/usr/share/lcow/boot"] };
    beside
        .into_iter()
        .chain(crate::home::user_data().map(|data| data.join("lcow").join("boot")))
        .chain(system.iter().map(PathBuf::from))
        .collect()
}

/// Whether an ELF kernel has the PVH entry note (name `Xen`, type 18), without which QEMU cannot boot it.
fn has_pvh_note(path: &Path) -> bool {
    File::open(path).and_then(|mut file| find_pvh_note(&mut file)).unwrap_or(false)
}

fn find_pvh_note(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    const NOTE_SEGMENT: u64 = 4;
    let mut header = [0; 64];
    file.read_exact(&mut header)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let (table, entry_size, count) =
        (number(&header[32..40]), number(&header[54..56]), number(&header[56..58]));
    for index in 0..count {
        let mut entry = [0; 56];
        file.seek(SeekFrom::Start(table.saturating_add(index * entry_size)))?;
        file.read_exact(&mut entry)?;
        if number(&entry[0..4]) == NOTE_SEGMENT {
            let (offset, size) = (number(&entry[8..16]), number(&entry[32..40]));
            file.seek(SeekFrom::Start(offset))?;
            let mut notes = Vec::new();
            // Real note segments have some hundred bytes.
            file.take(size.min(1 << 20)).read_to_end(&mut notes)?;
            if notes_have_pvh(&notes) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn notes_have_pvh(mut notes: &[u8]) -> bool {
    const PVH_ENTRY: u64 = 18;
    let padded = |len: u64| usize::try_from(len.next_multiple_of(4)).unwrap_or(usize::MAX);
    while let Some((head, rest)) = notes.split_at_checked(12) {
        let (name_size, data_size, kind) = (number(&head[..4]), number(&head[4..8]), number(&head[8..]));
        let Some((name, rest)) = rest.split_at_checked(padded(name_size)) else { return false };
        if kind == PVH_ENTRY && name.starts_with(b"Xen\0") {
            return true;
        }
        let Some((_, rest)) = rest.split_at_checked(padded(data_size)) else { return false };
        notes = rest;
    }
    false
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u32, data: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for number in
            [u32::try_from(name.len()).expect("short"), u32::try_from(data.len()).expect("short"), kind]
        {
            note.extend_from_slice(&number.to_le_bytes());
        }
        for part in [name, data] {
            note.extend_from_slice(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    fn kernel(notes: &[u8]) -> Vec<u8> {
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf[64] = 4;
        elf[64 + 8] = 120;
        elf[64 + 32..64 + 40].copy_from_slice(&(notes.len() as u64).to_le_bytes());
        elf.extend_from_slice(notes);
        elf
    }

    #[test]
    fn vmlinux_is_taken_only_with_its_pvh_note() {
        let directory = tempfile::tempdir().expect("directory");
        let path = |name: &str| directory.path().join(name);
        assert_eq!(BootFiles::open(directory.path()).expect("readable"), None);
        std::fs::write(path("kernel"), "bzImage").expect("write");
        let notes = [note(b"GNU\0", 3, b"build"), note(b"Xen\0", 18, &[0; 8])].concat();
        for (vmlinux, expected) in [
            (kernel(&notes), "vmlinux"),
            (kernel(&note(b"GNU\0", 18, &[0; 8])), "kernel"),
            (kernel(&notes)[..90].to_vec(), "kernel"),
            (b"text".to_vec(), "kernel"),
        ] {
            std::fs::write(path("vmlinux"), vmlinux).expect("write");
            let found = BootFiles::open(directory.path()).expect("readable").expect("a kernel");
            assert_eq!(found, BootFiles { kernel: path(expected), efi: Some(path("kernel")), initrd: None });
        }
    }

    #[test]
    fn a_given_directory_must_have_them() {
        let directory = tempfile::tempdir().expect("directory");
        let error = BootFiles::find(Some(directory.path())).expect_err("empty");
        assert!(error.to_string().contains("has no vmlinux"), "{error}");
    }
}
