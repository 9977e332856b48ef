//! Kernels as they come: a Debian package, or a directory with a kernel image and its modules.

pub mod build;
pub mod bzimage;
pub mod check;
pub mod config;
pub mod fragment;
mod from_deb;
mod from_dir;
mod modinfos;
pub mod source;
mod spool;

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::compression::Compression;
use crate::deb::DebError;
use crate::elf::{self, ElfError};
use crate::modules::builtin::Builtin;
use crate::modules::is_module;
use crate::modules::modinfo::ModInfo;
use bzimage::BzImageError;
use config::KernelConfig;
use spool::Spool;

/// Why a kernel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The package is damaged or something else.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// The package's files cannot be unpacked.
    #[error("cannot unpack the package {}: it is truncated or damaged, download it again", path.display())]
    Unpack {
        /// The package.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something that a kernel needs is not there.
    #[error("{} has no {what}", path.display())]
    Missing {
        /// The package or directory.
        path: PathBuf,
        /// What was looked for, and where.
        what: String,
    },
    /// The image cannot be used.
    #[error("{name} is no usable kernel image")]
    Image {
        /// The image's name in the package, or its path.
        name: String,
        /// What is wrong with it.
        source: BzImageError,
    },
    /// A module cannot be used.
    #[error("the kernel module {path} is damaged")]
    Module {
        /// The module's path below the modules' directory.
        path: String,
        /// What is wrong with it.
        source: ModuleError,
    },
    /// Temporary space for unpacking.
    #[error("cannot keep the unpacked package in a temporary file in {}", path.display())]
    Spool {
        /// The directory of the temporary file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// What can be wrong with one module.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It does not decompress, or cannot be read.
    #[error("cannot read or decompress it")]
    Unreadable(#[from] io::Error),
    /// It is no ELF file.
    #[error(transparent)]
    Elf(#[from] ElfError),
}

/// A kernel with all its modules.
pub struct KernelPackage {
    /// What `uname -r` will say.
    pub release: String,
    /// The bootable image (bzImage).
    pub image: Vec<u8>,
    /// The configuration it was built with.
    pub config: KernelConfig,
    /// Every loadable module.
    pub modules: Vec<ModuleFile>,
    /// Modules that are part of the image.
    pub builtin: Builtin,
    spool: Option<Spool>,
}

/// A loadable module of a package.
pub struct ModuleFile {
    /// Path below `/lib/modules/<release>`, ending in `.ko`.
    pub path: String,
    /// What the module says about itself.
    pub info: ModInfo,
    body: Body,
}

enum Body {
    File(PathBuf),
    Spooled { offset: u64, len: usize },
}

impl KernelPackage {
    /// The uncompressed bytes of `module`, one of this package's.
    pub fn module_bytes(&self, module: &ModuleFile) -> Result<Vec<u8>, KernelError> {
        let stored = body_bytes(&module.body, self.spool.as_ref())?;
        decompress_module(&module.path, stored)
    }
}

/// A module's bytes as they are stored, compressed or not.
fn body_bytes(body: &Body, spool: Option<&Spool>) -> Result<Vec<u8>, KernelError> {
    match (body, spool) {
        (Body::File(path), _) => {
            fs::read(path).map_err(|source| KernelError::Read { path: path.clone(), source })
        }
        (Body::Spooled { offset, len }, Some(spool)) => spool.read(*offset, *len),
        (Body::Spooled { .. }, None) => unreachable!("a spooled module comes with its spool"),
    }
}

/// Reads a kernel and its modules from the Debian package at `deb`, with temporary space in `scratch`.
pub fn from_deb(deb: &std::path::Path, scratch: &std::path::Path) -> Result<KernelPackage, KernelError> {
    from_deb::read(deb, scratch)
}

/// Reads a kernel and its modules from the directory `dir`: `vmlinuz*`, `kernel` or `bzImage` (there or in `boot/`),
/// its `config-<release>`, `config` or `.config`, and `lib/modules/<release>` or `modules`.
pub fn from_dir(dir: &std::path::Path) -> Result<KernelPackage, KernelError> {
    from_dir::read(dir)
}

/// The configuration of whatever kernel is at `path`: the text itself, an image that carries it, a directory or a package;
/// with temporary space in `scratch`.
pub fn configuration(path: &std::path::Path, scratch: &std::path::Path) -> Result<KernelConfig, KernelError> {
    if path.is_dir() {
        return from_dir::configuration(path);
    }
    if path.extension().is_some_and(|extension| extension == "deb") {
        return Ok(from_deb(path, scratch)?.config);
    }
    let bytes = fs::read(path).map_err(|source| KernelError::Read { path: path.to_owned(), source })?;
    let missing = |what: &str| KernelError::Missing { path: path.to_owned(), what: what.to_owned() };
    let none_inside =
        || missing("configuration inside: it was built without CONFIG_IKCONFIG, check its config file");
    if bytes.starts_with(b"\x7fELF") {
        return KernelConfig::embedded(&bytes).ok_or_else(none_inside);
    }
    if bytes.starts_with(b"MZ") || bzimage::release(&bytes).is_ok() {
        let name = path.display().to_string();
        let vmlinux = bzimage::extract(&bytes).map_err(|source| KernelError::Image { name, source })?;
        return KernelConfig::embedded(&vmlinux.bytes).ok_or_else(none_inside);
    }
    let config = KernelConfig::parse(&String::from_utf8_lossy(&bytes));
    if config.is_empty() {
        return Err(missing("kernel configuration: it is neither one nor a kernel image"));
    }
    Ok(config)
}

/// `name` up to and including `.ko`, if it is the name of a module, compressed or not.
fn module_path(name: &str) -> Option<&str> {
    let plain = [".xz", ".zst", ".gz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    is_module(plain).then_some(plain)
}

fn decompress_module(path: &str, stored: Vec<u8>) -> Result<Vec<u8>, KernelError> {
    match Compression::detect(&stored) {
        Compression::None => Ok(stored),
        packed => packed
            .decompress(&stored)
            .map_err(|source| KernelError::Module { path: path.into(), source: source.into() }),
    }
}

/// Reads what the module stored as `stored` says about itself.
fn read_modinfo(path: &str, stored: &[u8]) -> Result<ModInfo, KernelError> {
    let parse = |module: &[u8]| match elf::modinfo(module) {
        Ok(section) => Ok(ModInfo::parse(path, section.unwrap_or_default())),
        Err(source) => Err(KernelError::Module { path: path.into(), source: source.into() }),
    };
    match Compression::detect(stored) {
        Compression::None => parse(stored),
        _ => parse(&decompress_module(path, stored.to_vec())?),
    }
}

/// The release that the image itself names: the truth about which modules fit.
fn image_release(name: &str, image: &[u8]) -> Result<String, KernelError> {
    bzimage::release(image).map_err(|source| KernelError::Image { name: name.into(), source })
}
