//! What a utility VM takes from a kernel package: the kernel in both forms, how to pack its initrd, its modules and their
//! lists. It can be written to one file and read back, so that a package of 400 MB is unpacked once.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use crate::initrd::packing::{NoPacking, Packing};
use crate::kernel::bzimage::{self, BzImageError, Vmlinux};
use crate::kernel::config::KernelConfig;
use crate::kernel::{KernelError, KernelPackage};
use crate::modules::is_module;
use crate::modules::lists::{self, ModulesError};
use crate::modules::table::Root;

/// Why a kernel package cannot serve a utility VM.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// Reading the package failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The image cannot be unpacked.
    #[error("cannot unpack vmlinux from the kernel image of {release}")]
    Image {
        /// The kernel's release.
        release: String,
        /// What is wrong with it.
        source: BzImageError,
    },
    /// Modules are missing.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// No initrd would do.
    #[error(transparent)]
    Packing(#[from] NoPacking),
}

/// The chosen parts of a kernel package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// What `uname -r` will say.
    pub release: String,
    /// The bzImage, which is also an EFI program.
    pub kernel: Vec<u8>,
    /// The ELF kernel from inside it; empty where no output wants it.
    pub vmlinux: Vec<u8>,
    /// Whether `vmlinux` can be started directly.
    pub pvh: bool,
    /// Whether the kernel unpacks LZ4; gzip otherwise.
    pub lz4: bool,
    /// Modules and lists by their path below `/lib/modules/<release>`.
    pub module_files: BTreeMap<String, Vec<u8>>,
    /// The configuration the kernel was built with.
    pub config: KernelConfig,
    /// What the kernel lacks although it is wanted.
    pub warnings: Vec<String>,
}

impl Selection {
    /// Chooses from `package` what `roots` need.
    pub fn choose(package: &KernelPackage, roots: &[Root<'_>]) -> Result<Self, SelectionError> {
        Self::with_vmlinux(package, roots, || {
            bzimage::extract(&package.image)
                .map_err(|source| SelectionError::Image { release: package.release.clone(), source })
        })
    }

    /// Chooses from `package` what `roots` need; `vmlinux` gives the kernel inside its image.
    pub fn with_vmlinux(
        package: &KernelPackage,
        roots: &[Root<'_>],
        vmlinux: impl FnOnce() -> Result<Vmlinux, SelectionError>,
    ) -> Result<Self, SelectionError> {
        let packing = Packing::choose(&package.config)?;
        let plan = lists::plan(package, roots)?;
        let vmlinux = vmlinux()?;
        let mut module_files = BTreeMap::new();
        for module in &package.modules {
            if plan.modules.binary_search(&module.info.name).is_ok() {
                module_files.insert(module.path.clone(), package.module_bytes(module)?);
            }
        }
        for (name, text) in plan.files {
            module_files.insert(name.to_owned(), text.into_bytes());
        }
        Ok(Self {
            release: package.release.clone(),
            kernel: package.image.clone(),
            vmlinux: vmlinux.bytes,
            pvh: vmlinux.pvh,
            lz4: packing == Packing::Lz4,
            module_files,
            config: package.config.clone(),
            warnings: plan.warnings,
        })
    }

    /// How its initrd is compressed.
    pub fn packing(&self) -> Packing {
        if self.lz4 { Packing::Lz4 } else { Packing::Gzip }
    }

    /// How many modules it has.
    pub fn module_count(&self) -> usize {
        self.modules().count()
    }

    /// The modules' total size in bytes.
    pub fn module_bytes(&self) -> usize {
        self.modules().map(|(_, bytes)| bytes.len()).sum()
    }

    fn modules(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.module_files.iter().filter(|(path, _)| is_module(path))
    }

    /// Writes everything to `out` in one stream.
    pub fn save(&self, out: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        let facts =
            [self.release.as_str(), if self.pvh { "pvh" } else { "" }, self.packing().name()].join("\n");
        append(&mut archive, "facts", facts.as_bytes())?;
        append(&mut archive, "warnings", self.warnings.join("\n").as_bytes())?;
        append(&mut archive, "config", self.config.text().as_bytes())?;
        append(&mut archive, "kernel", &self.kernel)?;
        append(&mut archive, "vmlinux", &self.vmlinux)?;
        for (path, bytes) in &self.module_files {
            append(&mut archive, &format!("modules/{path}"), bytes)?;
        }
        archive.into_inner()?.flush()
    }

    /// Reads what [`Selection::save`] wrote.
    pub fn load(input: impl Read) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "not a saved selection");
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(input).entries()? {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let mut bytes = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
            entry.read_to_end(&mut bytes)?;
            files.insert(name, bytes);
        }
        let mut take = |name: &str| files.remove(name).ok_or_else(damaged);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| damaged());
        let facts = text(take("facts")?)?;
        let [release, pvh, packing] = facts.split('\n').collect::<Vec<_>>()[..] else {
            return Err(damaged());
        };
        let warnings = text(take("warnings")?)?.lines().map(str::to_owned).collect();
        let config = KernelConfig::parse(&text(take("config")?)?);
        let (kernel, vmlinux) = (take("kernel")?, take("vmlinux")?);
        let module_files = files
            .into_iter()
            .filter_map(|(name, bytes)| Some((name.strip_prefix("modules/")?.to_owned(), bytes)))
            .collect();
        Ok(Self {
            release: release.to_owned(),
            kernel,
            vmlinux,
            pvh: pvh == "pvh",
            lz4: packing == Packing::Lz4.name(),
            module_files,
            config,
            warnings,
        })
    }
}

fn append(archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_saved() {
        let mut selection = Selection {
            release: "6.1.0-56-amd64".into(),
            kernel: b"bzImage".to_vec(),
            vmlinux: vec![7; 100_000],
            pvh: true,
            lz4: true,
            config: KernelConfig::parse("CONFIG_A=y\nCONFIG_B=\"b c\"\n"),
            warnings: vec!["no 9p".into(), "no pmem".into()],
            ..Selection::default()
        };
        // Longer than the 100 bytes of a plain tar header.
        let long = format!("kernel/{}/x.ko", "deep/".repeat(30));
        selection.module_files.insert(long, b"module".to_vec());
        selection.module_files.insert("load-connect".into(), b"a\n".to_vec());
        let mut saved = Vec::new();
        selection.save(&mut saved).unwrap();
        assert_eq!(Selection::load(&saved[..]).unwrap(), selection);
        assert_eq!((selection.module_count(), selection.module_bytes()), (1, 6));
    }

    #[test]
    fn damage_is_an_error() {
        let mut saved = Vec::new();
        Selection { vmlinux: vec![1; 5000], ..Selection::default() }.save(&mut saved).unwrap();
        assert!(Selection::load(&saved[..2500]).is_err());
        assert!(Selection::load(&b""[..]).is_err());
    }
}
