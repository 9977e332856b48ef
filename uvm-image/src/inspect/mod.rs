//! `uvm-build inspect`: what is in a boot file.

mod archive;
mod components;
mod disk;
mod tar;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::compression::Compression;
use crate::efi::pe;
use crate::elf;
use crate::kernel::bzimage::{self, BzImageError};
use crate::kernel::config::KernelConfig;
use crate::sums::{self, Fault};

pub use components::Components;

/// Why a file cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is none in a directory.
    #[error("{} has no boot files", .0.display())]
    Empty(PathBuf),
    /// It is nothing that boots.
    #[error("{} is no kernel, initrd, disk or tar archive", .0.display())]
    Unknown(PathBuf),
}

/// What one file is and holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Facts, each with a name.
    pub facts: Vec<(&'static str, String)>,
    /// What its root file system is made of, if it has one.
    pub components: Components,
}

impl Inspected {
    fn of(kind: &str) -> Self {
        Self { facts: vec![("kind", kind.to_owned())], components: Components::default() }
    }

    fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }
}

/// Endings of files for people.
const TEXTS: &[&str] = &["txt", "cmdline", "json"];

/// The files in the directory `path` that can be looked into, or `path` itself.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, InspectError> {
    let failed = |source| InspectError::Read { path: path.to_owned(), source };
    if !path.metadata().map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .map_err(failed)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.is_file() && !path.file_name().is_some_and(|name| sums::is_list(&name.to_string_lossy()))
        })
        .filter(|path| !path.extension().is_some_and(|end| TEXTS.iter().any(|text| end == *text)))
        .filter(|path| !path.to_string_lossy().ends_with("-cmdline"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(InspectError::Empty(path.to_owned()));
    }
    Ok(files)
}

/// Where what is at `path`, a file or a directory, differs from the lists that are there.
pub fn faults(path: &Path) -> Vec<Fault> {
    if !path.is_dir() {
        return sums::verify_file(path);
    }
    let native = sums::verify_native(path).into_iter().flat_map(|(_, faults)| faults);
    sums::verify(path).into_iter().flatten().chain(native).collect()
}

/// Whether the file at `path` has the name of one of our outputs, which has to be what its name says.
pub fn is_output(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    sums::OUTPUTS.contains(&&name[..]) || sums::NATIVE.iter().any(|end| name.ends_with(end))
}

/// Looks into the file at `path`.
pub fn inspect(path: &Path) -> Result<Inspected, InspectError> {
    let failed = |source| InspectError::Read { path: path.to_owned(), source };
    if let Some(found) = disk::inspect(File::open(path).map_err(failed)?) {
        return found.map_err(|reason| InspectError::Damaged { path: path.to_owned(), reason });
    }
    let bytes = fs::read(path).map_err(failed)?;
    let damaged = |reason: String| InspectError::Damaged { path: path.to_owned(), reason };
    if let Some(kernel) = pe::section(&bytes, ".linux") {
        return unified(&bytes, kernel).map_err(damaged);
    }
    if let Ok(release) = bzimage::release(&bytes) {
        return kernel(&release, &bytes).map_err(damaged);
    }
    if bytes.starts_with(b"\x7fELF") {
        let mut found = Inspected::of("ELF kernel");
        let pvh = elf::kernel_has_pvh_note(&bytes).map_err(|error| damaged(error.to_string()))?;
        found.fact("starts without firmware (PVH)", if pvh { "yes" } else { "no" });
        configuration(&mut found, &bytes);
        return Ok(found);
    }
    match archive::inspect(&bytes).or_else(|| tar::inspect(&bytes)) {
        Some(found) => found.map_err(damaged),
        None => Err(InspectError::Unknown(path.to_owned())),
    }
}

fn kernel(release: &str, image: &[u8]) -> Result<Inspected, String> {
    let mut found = Inspected::of("kernel (bzImage, EFI program)");
    found.fact("release", release);
    match bzimage::extract(image) {
        Ok(vmlinux) => {
            found.fact("unpacked", format!("{} bytes", vmlinux.bytes.len()));
            configuration(&mut found, &vmlinux.bytes);
        }
        // A loader of Linux may know better.
        Err(error @ BzImageError::Unread(_)) => found.fact("not looked into", error.to_string()),
        Err(error) => return Err(error.to_string()),
    }
    Ok(found)
}

fn configuration(found: &mut Inspected, vmlinux: &[u8]) {
    let inside = KernelConfig::embedded(vmlinux).is_some();
    found.fact("carries its configuration", if inside { "yes" } else { "no" });
}

fn unified(program: &[u8], image: &[u8]) -> Result<Inspected, String> {
    let release = bzimage::release(image).map_err(|error| error.to_string())?;
    let mut found = Inspected::of("unified EFI program");
    found.fact("release", release);
    let line = pe::section(program, ".cmdline").unwrap_or_default();
    found.fact("command line", String::from_utf8_lossy(line).into_owned());
    if let Some(initrd) = pe::section(program, ".initrd") {
        found.fact("initrd", format!("{} bytes, {}", initrd.len(), Compression::detect(initrd).name()));
        if let Some(Ok(inside)) = archive::inspect(initrd) {
            found.components = inside.components;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::root_disk::RootDisk;
    use crate::initrd::tree::Tree;
    use crate::initrd::{cpio, lz4_legacy};
    use crate::newc;
    use crate::testing;
    use lcow_disk::tar::{Entry, Kind, Writer};

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.file("/bin/gcs", 0o755, vec![7; 6000]);
        tree.file("/lib/modules/6.1/kernel/ext4.ko", 0o644, vec![7; 3000]);
        tree.file("/etc/hosts", 0o644, *b"127.0.0.1");
        tree.symlink("/init", "/bin/gcs");
        tree
    }

    fn look(bytes: &[u8]) -> Result<Inspected, InspectError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, bytes).unwrap();
        inspect(&path)
    }

    fn value<'a>(found: &'a Inspected, name: &str) -> &'a str {
        found.facts.iter().find(|(fact, _)| *fact == name).map_or("", |(_, value)| value)
    }

    #[test]
    fn an_initrd_and_a_disk_show_the_same_components() {
        let initrd = look(&lz4_legacy::compress(&cpio::archive(&tree())).unwrap()).unwrap();
        assert_eq!((value(&initrd, "kind"), value(&initrd, "compression")), ("initrd", "lz4"));
        let disk = look(&RootDisk::make(&tree(), 0, true).unwrap().into_vhd().unwrap()).unwrap();
        assert_eq!(value(&disk, "kind"), "fixed VHD");
        assert_eq!(value(&disk, "hash tree (dm-verity)").len(), 64);
        assert_eq!(initrd.components, disk.components);
        let rows: Vec<_> = disk.components.rows().collect();
        assert_eq!(rows, [("guest agent", 1, 6000), ("kernel modules", 1, 3000), ("other files", 1, 9)]);
    }

    #[test]
    fn a_file_with_several_names_is_one() {
        let mut cpio = Vec::new();
        for (path, data, links) in
            [("bin/ash", "", 3), ("bin/busybox", "", 3), ("bin/vi", "program", 3), ("TRAILER!!!", "", 1)]
        {
            let size = u32::try_from(data.len()).unwrap();
            let kind = newc::Type::Regular;
            let header = newc::Header { inode: 7, kind, links, size, ..newc::Header::default() };
            newc::header(&mut cpio, &header, path.as_bytes()).unwrap();
            cpio.extend(data.as_bytes());
            cpio.resize(cpio.len().next_multiple_of(4), 0);
        }
        let found = look(&cpio).unwrap();
        assert_eq!(value(&found, "compression"), "none");
        assert_eq!(found.components.rows().collect::<Vec<_>>(), [("busybox", 1, 7)]);
        let mut tar = Writer::new(Vec::new());
        tar.append(&Entry::file("bin/ash", 0o755, 7), &b"program"[..]).unwrap();
        let link = Entry { link: b"bin/ash".to_vec(), ..Entry::new("bin/busybox", Kind::HardLink, 0o755) };
        tar.append(&link, &b""[..]).unwrap();
        tar.append(&Entry::file("cmdline", 0o644, 5), &b"quiet"[..]).unwrap();
        let tar = tar.finish().unwrap();
        let found = look(&tar).unwrap();
        assert_eq!((value(&found, "kind"), value(&found, "has")), ("tar archive", "cmdline (5 bytes)"));
        assert_eq!(found.components.rows().collect::<Vec<_>>(), [("busybox", 1, 7), ("other files", 1, 5)]);
        assert!(matches!(look(&tar[..600]), Err(InspectError::Damaged { .. })));
    }

    #[test]
    fn kernels_say_what_they_are() {
        let found = look(&testing::xz_bzimage("6.12.1-lcow (x)", &testing::vmlinux(true))).unwrap();
        assert_eq!(value(&found, "release"), "6.12.1-lcow");
        let found = look(&testing::bzimage("6.12.1", b"BZh91AY&SY")).unwrap();
        assert_eq!(value(&found, "release"), "6.12.1");
        assert!(value(&found, "not looked into").contains("compressed with bzip2"), "{found:?}");
        let found = look(&testing::vmlinux(true)).unwrap();
        assert_eq!(value(&found, "starts without firmware (PVH)"), "yes");
    }

    #[test]
    fn damage_and_other_files_are_told_apart() {
        assert!(matches!(look(b"a letter"), Err(InspectError::Unknown(_))));
        let packed = lz4_legacy::compress(&cpio::archive(&tree())).unwrap();
        assert!(matches!(look(&packed[..packed.len() / 2]), Err(InspectError::Damaged { .. })));
        let image = testing::xz_bzimage("6.12.1", &testing::vmlinux(true));
        assert!(matches!(look(&image[..image.len() - 90]), Err(InspectError::Damaged { .. })));
    }

    #[test]
    fn what_comes_with_boot_files_is_not_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["sbom.spdx.json", "versions.txt", "rootfs.cmdline", "x-cmdline", "SHA256SUMS", "x-SHA256SUMS"]
        {
            fs::write(dir.path().join(name), "text").unwrap();
        }
        assert!(matches!(files(dir.path()), Err(InspectError::Empty(_))));
        fs::write(dir.path().join("kernel"), testing::xz_bzimage("6.12.1", &testing::vmlinux(true))).unwrap();
        assert_eq!(files(dir.path()).unwrap(), [dir.path().join("kernel")]);
    }
}
