//! `uvm-build install`: boot files under every name that some generation of hosts looks for (host side, section 1.1).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::elf::{self, ElfError};
use crate::formats::root_options::{self, Missing, Wanted};
use crate::interrupt::Unfinished;
use crate::kernel::bzimage::{self, BzImageError};
use crate::kernel::{self, KernelError};
use crate::outputs::{OutputError, Staging};
use crate::sums::{self, Fault};

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
    /// All that the kernel has to boot from is what it cannot boot from.
    #[error("{} has no initrd.img, and rootfs.vhd has to be left out: {reason}", directory.display())]
    OnlyRoot {
        /// The directory.
        directory: PathBuf,
        /// Why.
        reason: LeftOut,
    },
    /// The directory is not what a build made.
    #[error("{} is not the set of files that a build made:{}", directory.display(), list(faults))]
    Set {
        /// The directory.
        directory: PathBuf,
        /// What is wrong.
        faults: Vec<Fault>,
    },
    /// The folder is the directory itself.
    #[error("{} is where the files are already", .0.display())]
    Same(PathBuf),
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
    /// What is called an unpacked kernel is none.
    #[error("{} is no kernel that a host could start", path.display())]
    NoVmlinux {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// The kernel cannot be read.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Writing failed.
    #[error(transparent)]
    Output(#[from] OutputError),
}

fn list(faults: &[Fault]) -> String {
    faults.iter().fold(String::new(), |list, fault| list + "\n  " + &fault.to_string())
}

/// How a stock host will boot what was installed, unless it is told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From the initrd.
    Initrd,
    /// From `rootfs.vhd`, which hosts prefer as soon as it is there.
    RootfsVhd,
}

/// Why `rootfs.vhd` was left out, which hosts would prefer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// The kernel cannot boot from it.
    #[error("this kernel cannot boot from it: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Missing(Vec<Missing>),
    /// Nobody knows whether it can.
    #[error(
        "nobody knows whether this kernel can boot from it, for it does not carry its configuration (CONFIG_IKCONFIG)"
    )]
    NoConfig,
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Names, sizes in bytes, and who looks for them.
    pub files: Vec<(&'static str, usize, &'static str)>,
    /// Names of files that earlier sets had left in the folder, and that went.
    pub removed: Vec<String>,
    /// Why `rootfs.vhd` was left out, if it was.
    pub left_out: Option<LeftOut>,
    /// Whether the files were compared with a list of their sums.
    pub verified: bool,
    /// Whether `rootfs.vhd` has hashes, which stock hosts do not have the kernel check.
    pub verity: bool,
    /// How hosts will boot.
    pub mode: Mode,
}

/// Copies the boot files in `from` to the folder `to`, all or none. They must be what the list of sums in `from` names, if
/// there is one; names of ours in `to` that they do not bring go.
pub fn install(from: &Path, to: &Path, unfinished: &Unfinished) -> Result<Installed, InstallError> {
    fs::read_dir(from).map_err(|source| InstallError::Read { path: from.to_owned(), source })?;
    if to.canonicalize().is_ok_and(|to| from.canonicalize().is_ok_and(|from| from == to)) {
        return Err(InstallError::Same(to.to_owned()));
    }
    let faults = sums::verify(from);
    let verified = faults.is_some();
    if let Some(faults) = faults.filter(|faults| !faults.is_empty()) {
        return Err(InstallError::Set { directory: from.to_owned(), faults });
    }
    let mut contents = read(from)?;
    let has = |contents: &Contents, wanted: &str| contents.iter().any(|(name, ..)| *name == wanted);
    if !has(&contents, "kernel") || !(has(&contents, "initrd.img") || has(&contents, "rootfs.vhd")) {
        return Err(InstallError::Incomplete(from.to_owned()));
    }
    let left_out = if has(&contents, "rootfs.vhd") { left_out(from)? } else { None };
    if let Some(reason) = &left_out {
        contents.retain(|(name, ..)| *name != "rootfs.vhd");
        if !has(&contents, "initrd.img") {
            return Err(InstallError::OnlyRoot { directory: from.to_owned(), reason: reason.clone() });
        }
    }
    let mode = if has(&contents, "rootfs.vhd") { Mode::RootfsVhd } else { Mode::Initrd };
    let mut staging = Staging::new(to, unfinished)?;
    staging.boot_files(&contents.iter().map(|(name, bytes, _)| (*name, &bytes[..])).collect::<Vec<_>>())?;
    // Hosts would prefer some of them to what comes now, and none belongs to it.
    for (name, ..) in NAMES {
        staging.unwanted(name);
    }
    let removed = staging.finish()?.removed;
    let files = contents.iter().map(|(name, bytes, who)| (*name, bytes.len(), *who)).collect();
    let verity = mode == Mode::RootfsVhd && root_options::has_hashes(from);
    Ok(Installed { files, removed, left_out, verified, verity, mode })
}

/// Names in the host's folder, what is to be in the files, and who looks for them.
type Contents = Vec<(&'static str, Vec<u8>, &'static str)>;

fn read(from: &Path) -> Result<Contents, InstallError> {
    let mut contents = Vec::new();
    for (name, sources, who) in NAMES {
        let Some(path) = source(from, sources) else { continue };
        let bytes = fs::read(&path).map_err(|source| InstallError::Read { path: path.clone(), source })?;
        look(name, &path, &bytes)?;
        contents.push((*name, bytes, *who));
    }
    Ok(contents)
}

/// The first of these names that is there.
fn source(from: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| from.join(name)).find(|path| path.is_file())
}

/// Refuses what is called a kernel and is none.
fn look(name: &str, path: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    let path = path.to_owned();
    match name {
        "kernel" | "bootx64.efi" => {
            bzimage::release(bytes).map_err(|source| InstallError::NoKernel { path, source })?;
        }
        "vmlinux" => {
            elf::kernel_has_pvh_note(bytes).map_err(|source| InstallError::NoVmlinux { path, source })?;
        }
        _ => {}
    }
    Ok(())
}

/// Why hosts must not find `rootfs.vhd`, if they must not; the kernel has been looked at.
fn left_out(from: &Path) -> Result<Option<LeftOut>, InstallError> {
    let kernel = source(from, &["kernel", "bootx64.efi"]);
    let Some(kernel) = kernel else { return Err(InstallError::Incomplete(from.to_owned())) };
    let config = match kernel::configuration(&kernel, from) {
        Ok(config) => config,
        Err(KernelError::Missing { .. }) => return Ok(Some(LeftOut::NoConfig)),
        Err(error) => return Err(error.into()),
    };
    let wanted = Wanted { output: "rootfs.vhd", verity: false, partition: false };
    let missing = root_options::missing(&config, wanted);
    Ok((!missing.is_empty()).then_some(LeftOut::Missing(missing)))
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
            let bytes = if *name == "vmlinux" { testing::vmlinux(true) } else { name.as_bytes().to_vec() };
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    fn refused(from: &Path, to: &Path) -> String {
        let error = install(from, to, &Unfinished::default()).unwrap_err().to_string();
        assert!(!to.exists(), "{error}");
        error
    }

    #[test]
    fn every_generation_finds_its_names() {
        let config = format!("{LCOW_CONFIG}\nCONFIG_ND_CLAIM=y\n");
        let from = boot_files(&config, &["initrd.img", "vmlinux", "rootfs.vhd", "versions.txt"]);
        let to = from.path().join("Linux Containers");
        let installed = install(from.path(), &to, &Unfinished::default()).unwrap();
        assert_eq!(installed.mode, Mode::RootfsVhd);
        assert_eq!((installed.left_out, installed.verified, installed.verity), (None, false, false));
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
        assert_eq!(installed.mode, Mode::Initrd);
        assert!(matches!(&installed.left_out, Some(LeftOut::Missing(missing)) if missing.len() == 1));
        assert_eq!(installed.removed, ["rootfs.vhd"]);
        assert!(!to.path().join("rootfs.vhd").exists());
    }

    #[test]
    fn nobody_knows_what_a_kernel_without_its_configuration_can_do() {
        let from = boot_files("", &["initrd.img", "rootfs.vhd"]);
        fs::write(from.path().join("kernel"), testing::xz_bzimage("6.12.1", &testing::vmlinux(true)))
            .unwrap();
        let to = from.path().join("to");
        let installed = install(from.path(), &to, &Unfinished::default()).unwrap();
        assert_eq!((installed.mode, installed.left_out), (Mode::Initrd, Some(LeftOut::NoConfig)));
        fs::remove_file(from.path().join("initrd.img")).unwrap();
        let error = refused(from.path(), &from.path().join("other"));
        assert!(error.contains("rootfs.vhd has to be left out: nobody knows"), "{error}");
    }

    #[test]
    fn a_set_replaces_the_one_before_and_nothing_else() {
        let config = format!("{LCOW_CONFIG}\nCONFIG_ND_CLAIM=y\n");
        let one = boot_files(&config, &["initrd.img", "vmlinux", "rootfs.vhd", "uvm.vhdx", "rootfs.cmdline"]);
        fs::write(one.path().join("rootfs.cmdline"), "root=/dev/dm-0 dm-mod.create=\"\"").unwrap();
        let to = tempfile::tempdir().unwrap();
        assert!(install(one.path(), to.path(), &Unfinished::default()).unwrap().verity);
        fs::write(to.path().join("mine"), "").unwrap();
        let two = boot_files(&config, &["initrd.img"]);
        let installed = install(two.path(), to.path(), &Unfinished::default()).unwrap();
        assert_eq!(installed.removed, ["rootfs.vhd", "uvm.vhdx", "vmlinux"]);
        assert!(to.path().join("mine").exists());
        assert!(sums::verify(to.path()).unwrap().is_empty());
        // A directory that has the name of a file stops it, and the old set stays.
        fs::remove_file(to.path().join("initrd.img")).unwrap();
        fs::create_dir(to.path().join("initrd.img")).unwrap();
        fs::write(two.path().join("kernel"), testing::bzimage("6.12.2", b"")).unwrap();
        let before = fs::read(to.path().join("kernel")).unwrap();
        let error = install(two.path(), to.path(), &Unfinished::default()).unwrap_err();
        assert!(
            matches!(&error, InstallError::Output(error) if error.path.ends_with("initrd.img")),
            "{error}"
        );
        assert_eq!(fs::read(to.path().join("kernel")).unwrap(), before);
        let same = install(two.path(), two.path(), &Unfinished::default());
        assert!(matches!(same, Err(InstallError::Same(_))));
    }

    #[test]
    fn what_is_not_one_set_is_refused() {
        let from = boot_files(LCOW_CONFIG, &["initrd.img", "vmlinux"]);
        let to = from.path().join("to");
        let kernel = fs::read(from.path().join("kernel")).unwrap();
        let listed =
            sums::text(&[("kernel", &sums::sum(&kernel)), ("initrd.img", &sums::sum(b"initrd.img."))]);
        fs::write(from.path().join(sums::LIST), listed).unwrap();
        let error = refused(from.path(), &to);
        assert!(error.contains("initrd.img is not what was built"), "{error}");
        assert!(error.contains("vmlinux is not in SHA256SUMS, so it is left over"), "{error}");
        // Without a list only what no host could start is noticed.
        fs::remove_file(from.path().join(sums::LIST)).unwrap();
        for name in ["vmlinux", "bootx64.efi"] {
            fs::write(from.path().join(name), "junk").unwrap();
            let error = refused(from.path(), &to);
            assert!(error.ends_with(&format!("{name} is no kernel that a host could start")), "{error}");
            fs::remove_file(from.path().join(name)).unwrap();
        }
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
