//! `uvm-build install`: boot files under every name that some generation of hosts looks for (host side, section 1.1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::formats::root_options::{self, Missing, Wanted};
use crate::interrupt::Unfinished;
use crate::kernel::bzimage::{self, BzImageError};
use crate::kernel::{self, KernelError};
use crate::outputs::{OutputError, Staging};

/// A name in the host's folder, what it may be made of, and who looks for it.
const NAMES: &[(&str, &[&str], &str)] = &[
    ("kernel", &["kernel", "bootx64.efi"], "hcsshim, Docker 18.09 and later"),
    ("bootx64.efi", &["bootx64.efi", "kernel"], "Docker up to 18.03"),
    ("vmlinux", &["vmlinux"], "hcsshim on hosts since build 18286, instead of kernel"),
    ("initrd.img", &["initrd.img"], "all"),
    ("rootfs.vhd", &["rootfs.vhd"], "hcsshim, instead of initrd.img"),
    ("uvm.vhdx", &["uvm.vhdx"], "Docker 17.x, instead of everything else"),
    ("versions.txt", &["versions.txt"], "people"),
];

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The directory has nothing that boots.
    #[error("{} has no kernel, or neither initrd.img nor rootfs.vhd; `uvm-build default -o DIR` makes them", .0.display())]
    Incomplete(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What is called a kernel is none.
    #[error("{} is no kernel that a host could start", path.display())]
    NoKernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BzImageError,
    },
    /// The kernel cannot be read.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Writing failed.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// How a stock host will boot what was installed, unless it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From the initrd.
    Initrd,
    /// From `rootfs.vhd`, which hosts prefer as soon as it is there.
    RootfsVhd,
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Names, sizes in bytes, and who looks for them.
    pub files: Vec<(&'static str, usize, &'static str)>,
    /// What the kernel lacks to boot from `rootfs.vhd`, which was left out for that.
    pub left_out: Vec<Missing>,
    /// How hosts will boot.
    pub mode: Mode,
}

/// Copies the boot files in `from` to the folder `to`, all or none.
pub fn install(from: &Path, to: &Path, unfinished: &Unfinished) -> Result<Installed, InstallError> {
    fs::read_dir(from).map_err(|source| InstallError::Read { path: from.to_owned(), source })?;
    let missing = if from.join("rootfs.vhd").is_file() { root_missing(from)? } else { Vec::new() };
    let mut contents = Vec::new();
    for (name, sources, who) in NAMES {
        let source = sources.iter().map(|source| from.join(source)).find(|path| path.is_file());
        let Some(path) = source.filter(|_| *name != "rootfs.vhd" || missing.is_empty()) else { continue };
        let bytes = fs::read(&path).map_err(|source| InstallError::Read { path, source })?;
        contents.push((*name, bytes, *who));
    }
    let has = |wanted: &str| contents.iter().any(|(name, ..)| *name == wanted);
    if !has("kernel") || !(has("initrd.img") || has("rootfs.vhd")) {
        return Err(InstallError::Incomplete(from.to_owned()));
    }
    for (name, bytes, _) in contents.iter().filter(|(name, ..)| *name == "kernel") {
        let path = from.join(name);
        bzimage::release(bytes).map_err(|source| InstallError::NoKernel { path, source })?;
    }
    let mode = if has("rootfs.vhd") { Mode::RootfsVhd } else { Mode::Initrd };
    let files: Vec<(&str, &[u8])> = contents.iter().map(|(name, bytes, _)| (*name, &bytes[..])).collect();
    let mut staging = Staging::new(to, unfinished)?;
    staging.boot_files(&files)?;
    staging.finish()?;
    // One that an earlier installation left would be preferred by hosts, whatever this one brought.
    if mode == Mode::Initrd {
        remove(&to.join("rootfs.vhd"))?;
    }
    let files = contents.iter().map(|(name, bytes, who)| (*name, bytes.len(), *who)).collect();
    Ok(Installed { files, left_out: missing, mode })
}

fn root_missing(from: &Path) -> Result<Vec<Missing>, InstallError> {
    let kernel = ["kernel", "bootx64.efi"].iter().map(|name| from.join(name)).find(|path| path.is_file());
    let Some(kernel) = kernel else { return Err(InstallError::Incomplete(from.to_owned())) };
    let config = kernel::configuration(&kernel, from)?;
    let wanted = Wanted { output: "rootfs.vhd", verity: false, partition: false };
    Ok(root_options::missing(&config, wanted))
}

fn remove(path: &Path) -> Result<(), InstallError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(InstallError::Read { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fragment::LCOW_CONFIG;
    use crate::testing;

    /// Boot files with a kernel that was configured as `config`.
    fn boot_files(config: &str, names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut vmlinux = testing::vmlinux(true);
        vmlinux.extend_from_slice(b"IKCFG_ST");
        vmlinux.extend(testing::gzip(config.as_bytes()));
        vmlinux.extend_from_slice(b"IKCFG_ED");
        fs::write(dir.path().join("kernel"), testing::xz_bzimage("6.12.1", &vmlinux)).unwrap();
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
        }
        dir
    }

    #[test]
    fn every_generation_finds_its_names() {
        let config = format!("{LCOW_CONFIG}\nCONFIG_ND_CLAIM=y\n");
        let from = boot_files(&config, &["initrd.img", "vmlinux", "rootfs.vhd", "versions.txt"]);
        let to = from.path().join("Linux Containers");
        let installed = install(from.path(), &to, &Unfinished::default()).unwrap();
        assert_eq!(installed.mode, Mode::RootfsVhd);
        assert!(installed.left_out.is_empty());
        assert_eq!(fs::read(to.join("bootx64.efi")).unwrap(), fs::read(from.path().join("kernel")).unwrap());
        for name in ["kernel", "vmlinux", "initrd.img", "rootfs.vhd", "versions.txt", "SHA256SUMS"] {
            assert!(to.join(name).is_file(), "{name}");
        }
    }

    #[test]
    fn a_root_that_cannot_boot_stays_away_and_an_old_one_goes() {
        let config =
            LCOW_CONFIG.replace("CONFIG_BLK_DEV_PMEM=y", "CONFIG_BLK_DEV_PMEM=m") + "CONFIG_ND_CLAIM=y\n";
        let from = boot_files(&config, &["initrd.img", "rootfs.vhd"]);
        let to = tempfile::tempdir().unwrap();
        fs::write(to.path().join("rootfs.vhd"), "of an earlier installation").unwrap();
        let installed = install(from.path(), to.path(), &Unfinished::default()).unwrap();
        assert_eq!((installed.mode, installed.left_out.len()), (Mode::Initrd, 1));
        assert!(!to.path().join("rootfs.vhd").exists());
    }

    #[test]
    fn half_a_set_is_refused() {
        let from = boot_files(LCOW_CONFIG, &[]);
        let to = from.path().join("to");
        let error = install(from.path(), &to, &Unfinished::default()).unwrap_err().to_string();
        assert!(error.contains("neither initrd.img nor rootfs.vhd"), "{error}");
        assert!(!to.exists());
    }
}
