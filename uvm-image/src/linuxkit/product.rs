//! Our own outputs of a description: its root with the guest agent, and its kernel with what a utility VM needs of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use lcow_disk::tar::{Entry, Kind, Reader, TarError};

use super::assemble::{AssembleError, Assembly, Wanted};
use super::build::Options;
use super::cpio;
use super::kernel::KernelFiles;
use super::stream::{Origin, Stream};
use crate::formats::root::Root;
use crate::initrd::agent::{Agent, AgentError};
use crate::initrd::layout;
use crate::initrd::tree::{Node, Tree};
use crate::kernel;
use crate::kernel::bzimage::{self, Vmlinux};
use crate::kernel::config::KernelConfig;
use crate::modules::table::{Need, Platform, ROOTS, Root as Module, Stage};
use crate::progress::Unit;
use crate::selection::{Selection, SelectionError};

/// Why our outputs cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    /// There is nothing to boot.
    #[error(
        "the description has no kernel image, which this output needs; only kernel+initrd, tar and docker go without"
    )]
    NoKernel,
    /// The kernel cannot be read.
    #[error("the kernel of {image} cannot be used")]
    Kernel {
        /// Its image.
        image: String,
        /// Why.
        source: SelectionError,
    },
    /// Its modules cannot be unpacked.
    #[error("cannot unpack the kernel modules of {image}")]
    Unpack {
        /// The image.
        image: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody knows what the kernel can do.
    #[error(
        "the kernel of {image} neither carries its configuration (CONFIG_IKCONFIG) nor has a file config beside it: nobody knows which initrd it can unpack"
    )]
    NoConfig {
        /// The image.
        image: String,
    },
    /// What must be loaded is not there.
    #[error(
        "the kernel of {image} has modules where a utility VM needs them, but the description leaves them out (`tar: none`):{}",
        list(missing)
    )]
    NoModules {
        /// The image.
        image: String,
        /// Options and reasons.
        missing: Vec<String>,
    },
    /// Nothing would start.
    #[error(
        "the init images bring neither /init nor /bin/gcs, and `lcow.agent` is false: nothing would start"
    )]
    NoInit,
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The images.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

fn list(missing: &[String]) -> String {
    missing.iter().fold(String::new(), |list, one| list + "\n  " + one)
}

/// A root file system, its kernel, and what was added.
pub struct Product {
    /// The kernel.
    pub kernel: Selection,
    /// The root.
    pub root: StreamRoot,
    /// The agent, if it was added.
    pub agent: Option<Agent>,
    /// How many entries have extended attributes.
    pub attributes: usize,
    /// Bytes of all files by what they come from.
    pub sizes: BTreeMap<String, u64>,
}

/// Makes the root of `assembly` as `options` say; the kernel is unpacked only if somebody wants its `vmlinux`.
pub fn make(assembly: &Assembly, options: &Options, vmlinux: bool) -> Result<Product, ProductError> {
    let files = assembly.kernel.as_ref().ok_or(ProductError::NoKernel)?;
    let more: Vec<String> =
        assembly.loaded.description.lcow.modules.iter().map(|name| name.replace('-', "_")).collect();
    // Unpacking the kernel takes as long as unpacking a good part of the root.
    let (kernel, out) = thread::scope(|scope| {
        let kernel = scope.spawn(|| select(files, &more, vmlinux, &options.scratch));
        let out = unpack(assembly, options);
        (kernel.join(), out)
    });
    let kernel = kernel.unwrap_or_else(|panic| resume_unwind(panic))?;
    let mut out = out?;
    let has_init = out.contains("init") || out.contains("bin/gcs");
    let wanted = assembly.loaded.description.lcow.agent;
    if wanted == Some(false) && !has_init {
        return Err(ProductError::NoInit);
    }
    let agent = if wanted.unwrap_or(!has_init) { Some(Agent::read(&options.agent)?) } else { None };
    match &agent {
        Some(agent) => add(&layout::tree(agent, &kernel, None), &mut out).map_err(AssembleError::Write)?,
        None => files.write_missing_modules(&mut out).map_err(AssembleError::Kernel)?,
    }
    let (attributes, sizes) = (out.attributes(), out.sizes().clone());
    let root = StreamRoot(RefCell::new(out.finish().map_err(AssembleError::Write)?));
    Ok(Product { kernel, root, agent, attributes, sizes })
}

/// All files of the description but the kernel's.
fn unpack(assembly: &Assembly, options: &Options) -> Result<Stream, AssembleError> {
    let task = options.progress.task("unpacking", None, Unit::Bytes);
    let mut out = Stream::new(options.write.epoch, task)?;
    let (sbom, epoch) = (options.sbom, options.write.epoch);
    assembly.write(Wanted { kernel: false, dockerfile: false, sbom, epoch }, &mut out)?;
    Ok(out)
}

/// Adds the agent's tree: its own files over those of images, everything else where images have nothing.
fn add(tree: &Tree, out: &mut Stream) -> io::Result<()> {
    let origin = Origin { source: "lcow.agent".to_owned(), location: "lcow".to_owned() };
    for (path, entry) in tree.iter() {
        let mode = u16::try_from(entry.mode & 0o7777).unwrap_or(0o755);
        let ours =
            path.starts_with("lib/modules/") || matches!(entry.node, Node::Symlink(_)) || path == "bin/gcs";
        if out.contains(path) && (!ours || entry.node == Node::Directory) {
            continue;
        }
        match &entry.node {
            Node::Directory => out.made(&origin, Entry::directory(path, mode))?,
            Node::File(bytes) => out.file(&origin, path, mode, bytes)?,
            Node::Symlink(target) => out.made(&origin, Entry::symlink(path, target.as_str()))?,
            Node::CharDevice(major, minor) => {
                out.made(&origin, Entry::new(path, Kind::CharDevice(*major, *minor), mode))?;
            }
        }
    }
    Ok(())
}

/// What a utility VM needs of the kernel in `files`, and the modules `more`.
fn select(
    files: &KernelFiles,
    more: &[String],
    vmlinux: bool,
    scratch: &Path,
) -> Result<Selection, ProductError> {
    let image = || files.image.clone();
    let unusable = |source: SelectionError| ProductError::Kernel { image: image(), source };
    let broken = |source| unusable(kernel::KernelError::Image { name: "kernel".to_owned(), source }.into());
    let unpack = |source| ProductError::Unpack { image: image(), source };
    let release = bzimage::release(&files.kernel).map_err(broken)?;
    let config = files.configuration().map_err(broken)?;
    let config = config.ok_or_else(|| ProductError::NoConfig { image: image() })?;
    if files.tar.is_none() {
        let missing = modular(&config);
        if !missing.is_empty() {
            return Err(ProductError::NoModules { image: image(), missing });
        }
    }
    let dir = tempfile::tempdir_in(scratch).map_err(unpack)?;
    fs::write(dir.path().join("kernel"), &files.kernel).map_err(unpack)?;
    fs::write(dir.path().join("config"), config.text()).map_err(unpack)?;
    fs::create_dir_all(dir.path().join("lib/modules").join(&release)).map_err(unpack)?;
    if let Some(tar) = &files.tar {
        unpack_modules(tar, dir.path()).map_err(unpack)?;
    }
    let package = kernel::from_dir(dir.path()).map_err(|error| unusable(error.into()))?;
    let vmlinux = || {
        if !vmlinux {
            return Ok(Vmlinux { bytes: Vec::new(), pvh: false });
        }
        files.vmlinux().cloned().map_err(|source| SelectionError::Image { release, source })
    };
    Selection::with_vmlinux(&package, &[ROOTS, &extra(more)].concat(), vmlinux).map_err(unusable)
}

/// Why the kernel in `files` would not reach its host in a utility VM, as far as that can be told.
pub fn doubts(files: &KernelFiles) -> Vec<String> {
    let config = files.configuration().ok().flatten().filter(|_| files.tar.is_none());
    config.as_ref().map(modular).unwrap_or_default()
}

/// What a utility VM cannot start without and `config` has as modules.
fn modular(config: &KernelConfig) -> Vec<String> {
    let early = ROOTS.iter().filter(|root| root.stage <= Stage::Storage);
    let modules = early.filter(|root| config.value(root.option) == Some("m"));
    modules.map(|root| format!("{} is a module ({}=m): {}", root.module, root.option, root.reason)).collect()
}

/// Modules that the description asks for.
fn extra(names: &[String]) -> Vec<Module<'_>> {
    let module = |name| Module {
        module: name,
        option: "",
        stage: Stage::Later,
        platform: Platform::Any,
        need: Need::Required,
        reason: "the description asks for it (lcow.modules)",
    };
    names.iter().map(String::as_str).map(module).collect()
}

/// Unpacks the regular files below `lib/modules`.
fn unpack_modules(mut tar: &File, dir: &Path) -> io::Result<()> {
    tar.rewind()?;
    let damaged = |error: TarError| io::Error::other(error);
    let mut reader = Reader::new(io::BufReader::with_capacity(1 << 20, tar));
    let mut buffer = vec![0; 1 << 18];
    while let Some(entry) = reader.next_entry().map_err(damaged)? {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let parts: PathBuf = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let is_ours = parts.starts_with("lib/modules") || parts.starts_with("usr/lib/modules");
        if entry.kind != Kind::File || !is_ours || path.split('/').any(|part| part == "..") {
            continue;
        }
        let path = dir.join(parts);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        let mut file = File::create(path)?;
        loop {
            match reader.read_data(&mut buffer).map_err(damaged)? {
                0 => break,
                count => file.write_all(&buffer[..count])?,
            }
        }
    }
    Ok(())
}

/// A finished stream as a root file system.
pub struct StreamRoot(RefCell<File>);

impl Root for StreamRoot {
    fn cpio(&self, out: &mut dyn Write) -> io::Result<()> {
        cpio::write(&mut self.0.borrow_mut(), out, &|_| true).map_err(io::Error::other)
    }

    fn size(&self) -> io::Result<usize> {
        Ok(usize::try_from(self.0.borrow().metadata()?.len()).unwrap_or_default())
    }

    fn tar(&self, _mtime: u64) -> io::Result<Box<dyn Read + '_>> {
        let mut file = self.0.borrow().try_clone()?;
        file.rewind()?;
        Ok(Box::new(file))
    }
}
