//! Kernel sources: Debian's `linux-source-*` packages, or the archive inside one.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use lzma_rust2::XzReader;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::deb::{Deb, DebError};
use crate::debian_version;
use crate::hex::hex;
use crate::progress::Task;

/// The text of `kernel/sources.toml`.
pub const SOURCES: &str = include_str!("../../kernel/sources.toml");

/// How the archive in a package is named: `linux-source-<version>.tar.xz`.
const PACKAGE_PREFIX: &str = "linux-source-";

/// A source that the tailored kernel was built from and tried with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The Debian package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The kernel's version, `make kernelversion`.
    pub release: String,
    /// SHA-256 of the `.tar.xz` inside the package, in hexadecimal.
    pub sha256: String,
}

impl Known {
    /// The name of the package's file.
    pub fn file_name(&self) -> String {
        format!("{}_{}_all.deb", self.package, self.version)
    }
}

/// Why there is no source to build from.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing is there.
    #[error(
        "no kernel source ({wanted}) in {}; `cargo xtask setup` downloads it, or name a linux-source package with --source FILE.deb",
        path.display()
    )]
    NoSource {
        /// The files that would do.
        wanted: String,
        /// The directory that was searched.
        path: PathBuf,
    },
    /// Only sources that nobody has tried are there.
    #[error(
        "the kernel source {} is none of those tried with this version ({known}); build it with --allow-new if you want to try it", path.display()
    )]
    Unknown {
        /// The source.
        path: PathBuf,
        /// The known versions.
        known: String,
    },
    /// The package cannot be read.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// A file cannot be read or written.
    #[error("cannot {operation} the kernel source {}", path.display())]
    File {
        /// What was done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The package holds no source.
    #[error("{} holds no linux-source-*.tar.xz", path.display())]
    NoArchive {
        /// The package.
        path: PathBuf,
    },
}

/// The known sources, best first.
///
/// # Panics
/// Never: a test reads the same text.
pub fn known() -> Vec<Known> {
    parse(SOURCES).unwrap_or_else(|error| unreachable!("{error}"))
}

fn parse(text: &str) -> Result<Vec<Known>, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        source: Vec<Known>,
    }
    Ok(toml::from_str::<File>(text)?.source)
}

/// The best source in the directory `dir`: the first known one, else, with `allow_new`, the newest of any.
pub fn find(dir: &Path, known: &[Known], allow_new: bool) -> Result<PathBuf, SourceError> {
    if let Some(path) = known.iter().map(|known| dir.join(known.file_name())).find(|path| path.is_file()) {
        return Ok(path);
    }
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    let newest = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(PACKAGE_PREFIX) && name.ends_with("_all.deb"))
        .max_by(|a, b| debian_version::compare(version(a), version(b)));
    match newest {
        Some(name) if allow_new => Ok(dir.join(name)),
        Some(name) => Err(SourceError::Unknown { path: dir.join(name), known: versions(known) }),
        None => {
            let wanted = known.iter().map(Known::file_name).collect::<Vec<_>>().join(" or ");
            Err(SourceError::NoSource { wanted, path: dir.to_owned() })
        }
    }
}

fn version(file_name: &str) -> &str {
    file_name.split('_').nth(1).unwrap_or_default()
}

fn versions(known: &[Known]) -> String {
    known.iter().map(|known| known.version.as_str()).collect::<Vec<_>>().join(", ")
}

/// A source's archive, a `.tar.xz`, with its hash.
#[derive(Debug)]
pub struct Archive {
    /// SHA-256 of the archive, in hexadecimal.
    pub sha256: String,
    file: File,
    path: PathBuf,
    len: u64,
}

impl Archive {
    /// Opens the source at `path`: a linux-source package, whose archive is copied to a temporary file in `scratch`, or
    /// such an archive itself.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self, SourceError> {
        let failed = |operation| move |source| SourceError::File { operation, path: path.to_owned(), source };
        if path.extension().is_some_and(|extension| extension == "deb") {
            return Self::of_package(path, scratch);
        }
        let mut file = File::open(path).map_err(failed("open"))?;
        let mut hash = Sha256::new();
        let len = io::copy(&mut HashReader(&mut file, &mut hash), &mut io::sink()).map_err(failed("read"))?;
        Ok(Self { sha256: hex(&hash.finalize()), file, path: path.to_owned(), len })
    }

    fn of_package(path: &Path, scratch: &Path) -> Result<Self, SourceError> {
        let failed = |operation| move |source| SourceError::File { operation, path: path.to_owned(), source };
        let deb = Deb::open(path)?;
        let mut archive = tar::Archive::new(deb.data()?);
        for entry in archive.entries().map_err(failed("unpack"))? {
            let mut entry = entry.map_err(failed("unpack"))?;
            let is_source = entry.path().is_ok_and(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.starts_with(PACKAGE_PREFIX) && name.ends_with(".tar.xz")
            });
            if !is_source || !entry.header().entry_type().is_file() {
                continue;
            }
            let mut file = tempfile::tempfile_in(scratch).map_err(failed("copy"))?;
            let mut hash = Sha256::new();
            let len = io::copy(&mut HashReader(&mut entry, &mut hash), &mut file).map_err(failed("copy"))?;
            return Ok(Self { sha256: hex(&hash.finalize()), file, path: path.to_owned(), len });
        }
        Err(SourceError::NoArchive { path: path.to_owned() })
    }

    /// The archive's size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the archive has no content at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Refuses an archive that is none of `known`.
    pub fn must_be_known(&self, known: &[Known]) -> Result<(), SourceError> {
        if known.iter().any(|known| known.sha256 == self.sha256) {
            return Ok(());
        }
        Err(SourceError::Unknown { path: self.path.clone(), known: versions(known) })
    }

    /// Unpacks the archive into the directory `dir` and returns the one directory in it; `task` counts bytes of the
    /// archive.
    pub fn unpack(mut self, dir: &Path, task: &Task) -> Result<PathBuf, SourceError> {
        let path = self.path.clone();
        let failed = |source| SourceError::File { operation: "unpack", path: path.clone(), source };
        io::Seek::rewind(&mut self.file).map_err(failed)?;
        let packed = BufReader::with_capacity(1 << 20, task.reader(&self.file));
        let mut archive = tar::Archive::new(XzReader::new(packed, true));
        archive.unpack(dir).map_err(failed)?;
        let mut entries = fs::read_dir(dir).map_err(failed)?.flatten().map(|entry| entry.path());
        match (entries.next(), entries.next()) {
            (Some(tree), None) if tree.join("Kconfig").is_file() => Ok(tree),
            _ => Err(failed(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is no kernel tree in one directory",
            ))),
        }
    }
}

struct HashReader<'a, R>(&'a mut R, &'a mut Sha256);

impl<R: Read> Read for HashReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Progress, Style, Unit};
    use crate::testing;

    fn a_known(version: &str, sha256: &str) -> Known {
        let text = |text: &str| text.to_owned();
        Known {
            package: text("linux-source-6.12"),
            version: text(version),
            release: text("6.12.1"),
            sha256: text(sha256),
        }
    }

    fn tree() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        tar.append_data(&mut header, "linux-source-6.12/Kconfig", &b"x\n"[..]).unwrap();
        testing::xz(&tar.into_inner().unwrap())
    }

    #[test]
    fn our_own_list_is_well_formed() {
        let known = parse(SOURCES).unwrap();
        assert!(!known.is_empty());
        for source in known {
            assert_eq!(source.sha256.len(), 64);
            assert!(source.version.starts_with(&source.release), "{source:?}");
        }
    }

    #[test]
    fn known_sources_come_first_and_new_ones_only_if_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let known = [a_known("6.12.9-1", ""), a_known("6.12.5-1", "")];
        let error = find(dir.path(), &known, true).unwrap_err().to_string();
        assert!(
            error.contains("linux-source-6.12_6.12.9-1_all.deb or") && error.contains("cargo xtask setup")
        );
        let touch = |version: &str| {
            fs::write(dir.path().join(format!("linux-source-6.12_{version}_all.deb")), "").unwrap();
        };
        touch("6.12.9-2");
        touch("6.12.10-1");
        let error = find(dir.path(), &known, false).unwrap_err().to_string();
        assert!(error.contains("6.12.10-1") && error.contains("--allow-new"), "{error}");
        assert!(find(dir.path(), &known, true).unwrap().ends_with("linux-source-6.12_6.12.10-1_all.deb"));
        touch("6.12.5-1");
        assert!(find(dir.path(), &known, true).unwrap().ends_with("linux-source-6.12_6.12.5-1_all.deb"));
    }

    #[test]
    fn unpacks_a_package_and_knows_it_by_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let packed = tree();
        let deb = dir.path().join("linux-source-6.12_1_all.deb");
        fs::write(&deb, testing::deb(&[("usr/src/linux-source-6.12.tar.xz", &packed)])).unwrap();
        let archive = Archive::open(&deb, dir.path()).unwrap();
        assert_eq!(archive.sha256, hex(&Sha256::digest(&packed)));
        assert!(
            archive.must_be_known(&[a_known("1", "00")]).unwrap_err().to_string().contains("--allow-new")
        );
        archive.must_be_known(&[a_known("1", &archive.sha256)]).unwrap();

        let task = Progress::new(Style::Quiet).task("unpacking", None, Unit::Bytes);
        let out = dir.path().join("out");
        let unpacked = archive.unpack(&out, &task).unwrap();
        assert_eq!(fs::read(unpacked.join("Kconfig")).unwrap(), b"x\n");
    }

    #[test]
    fn other_packages_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let deb = dir.path().join("x.deb");
        fs::write(&deb, testing::deb(&[("usr/share/doc/readme", b"x")])).unwrap();
        assert!(matches!(Archive::open(&deb, dir.path()), Err(SourceError::NoArchive { .. })));
        let truncated = dir.path().join("linux.tar.xz");
        fs::write(&truncated, &tree()[..60]).unwrap();
        let task = Progress::new(Style::Quiet).task("unpacking", None, Unit::Bytes);
        let archive = Archive::open(&truncated, dir.path()).unwrap();
        let error = archive.unpack(&dir.path().join("out"), &task).unwrap_err().to_string();
        assert!(error.contains("cannot unpack the kernel source"), "{error}");
    }
}
