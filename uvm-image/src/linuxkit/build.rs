//! `uvm-build build`: from a description's files to its outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use super::assemble::{AssembleError, Assembly, Wanted};
use super::images::{Found, Images, path_of};
use super::load::Loaded;
use super::native::{self, Native, NativeError};
use super::product::{self, Product, ProductError};
use super::stream::Stream;
use crate::formats::documents::documents;
use crate::formats::write::{self, FormatError};
use crate::formats::{FORMATS, Format};
use crate::interrupt::Unfinished;
use crate::kernel::bzimage::BzImageError;
use crate::outputs::{OutputError, Staging};
use crate::progress::{Progress, Unit};
use crate::report::Report;
use crate::versions;

/// An output: LinuxKit's or ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// As LinuxKit's own tool writes it.
    Native(Native),
    /// As `uvm-build default` writes it.
    Ours(Format),
}

/// The names of LinuxKit's outputs that there are.
const NATIVE: &[(&str, Native)] = &[
    ("kernel+initrd", Native::KernelInitrd),
    ("tar-kernel-initrd", Native::TarKernelInitrd),
    ("tar", Native::Tar),
    ("docker", Native::Docker),
];

fn name_of(format: Native) -> &'static str {
    NATIVE.iter().find(|(_, native)| *native == format).map_or("", |(name, _)| name)
}

/// A name that no output has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no format {name}; there are {}", names())]
pub struct UnknownOutput {
    name: String,
}

fn names() -> String {
    let ours = FORMATS.iter().map(|(name, ..)| *name);
    ours.chain(NATIVE.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ")
}

impl FromStr for Output {
    type Err = UnknownOutput;

    fn from_str(text: &str) -> Result<Self, UnknownOutput> {
        if let Some((_, native)) = NATIVE.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Native(*native));
        }
        text.parse().map(Self::Ours).map_err(|_| UnknownOutput { name: text.to_owned() })
    }
}

/// What to build.
pub struct Options {
    /// The directory of the outputs.
    pub directory: PathBuf,
    /// The beginning of LinuxKit's outputs' names.
    pub name: String,
    /// The outputs.
    pub outputs: BTreeSet<Output>,
    /// The agent's binary.
    pub agent: PathBuf,
    /// Whether the root, and a file beside our outputs, list what is in it.
    pub sbom: bool,
    /// Whether LinuxKit's outputs have the kernel unpacked.
    pub decompress_kernel: bool,
    /// How our outputs are written; the formats in it do not count.
    pub write: write::Options,
    /// A directory for temporary files.
    pub scratch: PathBuf,
    /// What goes when the program is ended early.
    pub unfinished: Unfinished,
    /// Who hears how far it has come.
    pub progress: Progress,
}

/// Why there are no outputs.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The images.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// Our outputs.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// The form of one of them.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// LinuxKit's.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// The kernel cannot be unpacked.
    #[error("cannot unpack the kernel of {image}")]
    Decompress {
        /// Its image.
        image: String,
        /// Why.
        source: BzImageError,
    },
    /// Their files.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Builds the outputs of `loaded` with images from `images`.
pub fn build(loaded: Loaded, images: &Images, options: &Options) -> Result<Report, BuildError> {
    let mut told = Told::default();
    if loaded.description.trust.is_some() {
        told.warnings.push("trust is ignored: nobody signs images that way any more".to_owned());
    }
    let mut assembly = Assembly::new(loaded, images)?;
    if options.sbom {
        told.warnings.extend(unlisted(&assembly));
    }
    let mut staging = Staging::new(&options.directory, &options.unfinished)?;
    let ours: BTreeSet<Format> = options
        .outputs
        .iter()
        .filter_map(|o| if let Output::Ours(format) = o { Some(*format) } else { None })
        .collect();
    told.warnings.extend(write::Options { formats: ours.clone(), ..options.write.clone() }.unused());
    if !ours.is_empty() {
        product(&assembly, ours, options, &mut staging, &mut told)?;
    }
    if let Some(kernel) = assembly.kernel.as_mut().filter(|_| options.decompress_kernel) {
        let image = kernel.image.clone();
        kernel.decompress().map_err(|source| BuildError::Decompress { image, source })?;
    }
    for output in &options.outputs {
        if let Output::Native(format) = output {
            native(&assembly, *format, options, &mut staging, &mut told)?;
        }
    }
    if options.outputs.iter().any(|output| matches!(output, Output::Native(_))) {
        staging.native_list(&options.name)?;
    }
    let mut report = Report::new(told.warnings);
    let finished = staging.finish()?;
    report.removed(&finished.removed, &options.directory);
    for (name, size) in finished.files {
        report.row(name, size);
    }
    for (part, size) in told.parts {
        report.row(format!("in the root: {part}"), size);
    }
    Ok(report)
}

/// What the user is to know in the end.
#[derive(Default)]
struct Told {
    warnings: Vec<String>,
    /// Bytes in the root, by what they come from.
    parts: BTreeMap<String, u64>,
}

fn native(
    assembly: &Assembly,
    format: Native,
    options: &Options,
    staging: &mut Staging,
    told: &mut Told,
) -> Result<(), BuildError> {
    let task = options.progress.task("unpacking", None, Unit::Bytes);
    let mut out = Stream::new(options.write.epoch, task).map_err(AssembleError::Write)?;
    let dockerfile = format == Native::Docker;
    assembly.write(
        Wanted { kernel: true, dockerfile, sbom: options.sbom, epoch: options.write.epoch },
        &mut out,
    )?;
    let attributes = out.attributes();
    told.parts.extend(out.sizes().clone());
    let mut tar = out.finish().map_err(AssembleError::Write)?;
    let writing = options.progress.task(format!("writing {}", name_of(format)), None, Unit::Steps);
    native::write(format, options, assembly.kernel.as_ref(), &mut tar, staging)?;
    drop(writing);
    if matches!(format, Native::KernelInitrd | Native::TarKernelInitrd) {
        told.warnings.extend(attributes_lost(attributes));
        let doubts = assembly.kernel.as_ref().map(product::doubts).unwrap_or_default();
        told.warnings
            .extend(doubts.into_iter().map(|doubt| format!("{doubt}; the description has `tar: none`")));
    }
    Ok(())
}

fn product(
    assembly: &Assembly,
    formats: BTreeSet<Format>,
    options: &Options,
    staging: &mut Staging,
    told: &mut Told,
) -> Result<(), BuildError> {
    let product = product::make(assembly, options, formats.contains(&Format::Vmlinux))?;
    let in_ram = formats.contains(&Format::Lcow) || formats.contains(&Format::UnifiedEfi);
    let verity = options.write.verity || assembly.loaded.description.lcow.verity;
    let write = write::Options { formats, verity, ..options.write.clone() };
    told.parts.extend(product.sizes.clone());
    let writing = options.progress.task("writing boot files", None, Unit::Steps);
    let mut files = write::files(&product.kernel, &product.root, &write)?;
    told.warnings.extend(product.kernel.warnings.iter().cloned());
    if in_ram {
        told.warnings.extend(attributes_lost(product.attributes));
    }
    if product.agent.is_some() {
        told.warnings.extend(not_run(assembly));
    }
    let versions = versions_of(&product, assembly);
    let parts = if options.sbom {
        told.warnings.extend(write::unlisted(product.agent.as_ref()));
        let mut parts = write::parts(&product.kernel, product.agent.as_ref(), &write)?;
        parts.extend(assembly.parts());
        Some(parts)
    } else {
        None
    };
    files.extend(documents(versions, parts.as_deref(), options.write.epoch));
    staging.boot_files(&files.iter().map(write::Output::named).collect::<Vec<_>>())?;
    drop(writing);
    Ok(())
}

fn versions_of(product: &Product, assembly: &Assembly) -> String {
    let source = assembly.kernel.as_ref().map_or("", |kernel| &kernel.image);
    let mut text = match &product.agent {
        Some(agent) => versions::text(&product.kernel, agent, source, false),
        None => format!(
            "uvm-build={}\nkernel={}\nkernel-source={source}\n",
            env!("CARGO_PKG_VERSION"),
            product.kernel.release
        ),
    };
    let image = |found: &Found| format!("image={} {}\n", found.name, found.image.digest);
    text.extend(assembly.images().map(image));
    text
}

/// Containers that nobody starts.
fn not_run(assembly: &Assembly) -> Vec<String> {
    let lists = assembly.loaded.description.containers();
    let line = |list: &str, item: &super::config::Item| {
        let name = item["name"].as_str().unwrap_or_default();
        format!("{list} {name} is in the root, but guest-agent will not start it")
    };
    lists.iter().flat_map(|(list, items)| items.iter().map(move |item| line(list, item))).collect()
}

/// Images of which nobody says what is in them.
fn unlisted(assembly: &Assembly) -> Option<String> {
    let parts = assembly.parts();
    let names: Vec<&str> = parts
        .iter()
        .filter(|part| part.documents.is_empty() && path_of(&part.package.name).is_none())
        .map(|part| &part.package.name[..])
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "the packages in {} are not in sbom.spdx.json: no list of them was attested (by BuildKit, in up to 64 MiB)",
            names.join(", ")
        )
    })
}

fn attributes_lost(count: usize) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{count} files have extended attributes (file capabilities, say), which an initrd cannot hold"
        )
    })
}
