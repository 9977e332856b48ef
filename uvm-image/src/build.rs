//! `uvm-build default`: from a kernel package and the agent to a directory of boot files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::cache::{Cache, CacheError, selection_key};
use crate::formats::documents::documents;
use crate::formats::write::{self, FormatError, Output};
use crate::hex::hex;
use crate::initrd::agent::{Agent, AgentError};
use crate::initrd::busybox::{BUSYBOX, Busybox, BusyboxError};
use crate::initrd::layout;
use crate::interrupt::Unfinished;
use crate::kernel;
use crate::modules::table::ROOTS;
use crate::outputs::{OutputError, Staging};
use crate::progress::{Progress, Unit};
use crate::report::Report;
use crate::sbom::{self, Package, Part};
use crate::selection::{Selection, SelectionError};
use crate::versions;

/// Where the kernel comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// The tailored kernel, built before.
    Tailored,
    /// The tailored kernel if it was built, else the newest Debian one.
    Auto,
    /// The newest Debian kernel package in the cache.
    Debian,
    /// This package, or this directory.
    Path(PathBuf),
}

impl FromStr for KernelSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "tailored" => Self::Tailored,
            "auto" => Self::Auto,
            "debian" => Self::Debian,
            path => Self::Path(path.into()),
        })
    }
}

/// What to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory for the boot files.
    pub output: PathBuf,
    /// The kernel.
    pub kernel: KernelSource,
    /// The agent's binary.
    pub agent: PathBuf,
    /// Whether busybox goes in.
    pub debug: bool,
    /// What is written.
    pub write: write::Options,
    /// Whether a file lists what is in them.
    pub sbom: bool,
    /// What goes when the program is ended early.
    pub unfinished: Unfinished,
    /// Who hears how far it has come.
    pub progress: Progress,
}

/// Why there are no boot files.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The cache has no kernel, or cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The tailored kernel is not there.
    #[error(
        "the tailored kernel has not been built; `uvm-build kernel build` does that in some 15 minutes, and --kernel debian goes without"
    )]
    NotBuilt,
    /// The kernel named does not exist or cannot be read.
    #[error("cannot read the kernel {}", path.display())]
    KernelSource {
        /// What was named.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The kernel does not do.
    #[error("the kernel from {} cannot be used", path.display())]
    Kernel {
        /// The package or directory.
        path: PathBuf,
        /// Why.
        source: SelectionError,
    },
    /// The agent does not do.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// There is no busybox.
    #[error(transparent)]
    Busybox(#[from] BusyboxError),
    /// An output cannot be made.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Writing failed.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Builds boot files as `options` say, with `cache` for packages and what was unpacked from them.
pub fn default(options: &Options, cache: &Cache) -> Result<Report, BuildError> {
    // What fails fast comes first.
    let agent = Agent::read(&options.agent)?;
    let busybox = if options.debug { Some(Busybox::read(Path::new(BUSYBOX))?) } else { None };
    let source = match &options.kernel {
        KernelSource::Tailored => cache.kernels().newest().ok_or(BuildError::NotBuilt)?,
        KernelSource::Auto => cache.kernels().newest().map_or_else(|| cache.newest_kernel(), Ok)?,
        KernelSource::Debian => cache.newest_kernel()?,
        KernelSource::Path(path) => path.clone(),
    };
    let unpacking = options.progress.task("reading the kernel", None, Unit::Steps);
    let kernel = select(&source, cache)?;
    drop(unpacking);

    let tree = layout::tree(&agent, &kernel, busybox.as_ref());
    let writing = options.progress.task("writing boot files", None, Unit::Steps);
    let mut files = write::files(&kernel, &tree, &options.write)?;
    let source_name = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
    let versions = versions::text(&kernel, &agent, &source_name, options.debug);
    let mut report = report(&kernel, &agent, busybox.as_ref(), &files);
    report.warnings.extend(options.write.unused());
    let parts = if options.sbom {
        report.warnings.extend(write::unlisted(Some(&agent)));
        Some(parts(&source, &kernel, &agent, busybox.as_ref(), options)?)
    } else {
        None
    };
    files.extend(documents(versions, parts.as_deref(), options.write.epoch));
    let mut staging = Staging::new(&options.output, &options.unfinished)?;
    staging.boot_files(&files.iter().map(Output::named).collect::<Vec<_>>())?;
    report.removed(&staging.finish()?.removed, &options.output);
    drop(writing);
    Ok(report)
}

/// What is in the boot files: the kernel and the package it comes from, the agent, the stub, busybox.
fn parts(
    source: &Path,
    kernel: &Selection,
    agent: &Agent,
    busybox: Option<&Busybox>,
    options: &Options,
) -> Result<Vec<Part>, BuildError> {
    let mut parts = write::parts(kernel, Some(agent), &options.write)?;
    // The tailored kernel says what it was made of, in the directory where it is kept.
    if let Ok(made_of) = fs::read_to_string(source.join("made-of.txt")) {
        parts[0].package.source = Some(made_of.trim_end().replace('\n', ", "));
    }
    if let Some(mut package) = Package::of_deb(source) {
        package.sha256 = Some(sha256_of(source)?);
        parts.push(package.into());
    }
    if let Some(busybox) = busybox {
        let version = sbom::stated(&busybox.bytes, b"BusyBox v", b' ').map(str::to_owned);
        parts.push(Package::of_file("busybox", version, &busybox.bytes).into());
    }
    Ok(parts)
}

fn sha256_of(path: &Path) -> Result<String, BuildError> {
    let fault = |source| BuildError::KernelSource { path: path.to_owned(), source };
    Ok(hex(&Sha256::digest(fs::read(path).map_err(fault)?)))
}

/// How large everything became, file by file and then by component.
fn report(kernel: &Selection, agent: &Agent, busybox: Option<&Busybox>, files: &[Output]) -> Report {
    let mut report = Report::new(kernel.warnings.clone());
    for file in files {
        let remark = match file.name {
            "kernel" => format!(" ({})", kernel.release),
            "vmlinux" => format!(" ({})", if kernel.pvh { "PVH" } else { "no PVH" }),
            "initrd.img" => format!(" ({})", kernel.packing().name()),
            _ => String::new(),
        };
        report.row(format!("{}{remark}", file.name), size(&file.bytes));
    }
    report.row("in the root: guest agent", size(&agent.bytes));
    if kernel.module_count() > 0 {
        report.row(format!("in the root: {} modules", kernel.module_count()), kernel.module_bytes() as u64);
    }
    if let Some(busybox) = busybox {
        report.row("in the root: busybox", size(&busybox.bytes));
    }
    report
}

fn size(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// What a utility VM needs of the kernel at `source`, from the cache if it was selected before.
fn select(source: &Path, cache: &Cache) -> Result<Selection, BuildError> {
    let unreadable = |error| BuildError::KernelSource { path: source.to_owned(), source: error };
    let unusable = |error: SelectionError| BuildError::Kernel { path: source.to_owned(), source: error };
    if source.metadata().map_err(unreadable)?.is_dir() {
        let package = kernel::from_dir(source).map_err(|error| unusable(error.into()))?;
        return Selection::choose(&package, ROOTS).map_err(unusable);
    }
    let key = selection_key(source, ROOTS).map_err(unreadable)?;
    if let Some(selection) = cache.load(&key) {
        return Ok(selection);
    }
    let scratch = cache.work_dir()?;
    let package = kernel::from_deb(source, &scratch).map_err(|error| unusable(error.into()))?;
    let selection = Selection::choose(&package, ROOTS).map_err(unusable)?;
    if let Err(source) = cache.save(&key, &selection) {
        // The build has all it needs; only the next one is slower.
        let warning = format!("cannot keep the unpacked kernel in {}: {source}", scratch.display());
        return Ok(Selection { warnings: [selection.warnings.clone(), vec![warning]].concat(), ..selection });
    }
    Ok(selection)
}

#[cfg(test)]
mod tests;
