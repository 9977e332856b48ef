//! `uvm-build build`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use clap::Args;
use lcow_oci::Platform;
use lcow_oci::registry::{DockerConfig, Mirror, Options as RegistryOptions, Registry};
use lcow_oci::store::Store;
use uvm_image::cache::Cache;
use uvm_image::formats::Format;
use uvm_image::interrupt::Unfinished;
use uvm_image::linuxkit::build::{self, Options, Output};
use uvm_image::linuxkit::images::Images;
use uvm_image::linuxkit::{files, load};

use super::foreign::Foreign;
use super::making::{Making, print};
use super::output::say;

const EXAMPLE: &str = "\
Examples:
  uvm-build build lcow.yml -o boot --cache ~/.linuxkit/cache
      boot files of a description whose images LinuxKit has fetched
  uvm-build build a.yml b.yml -f kernel+initrd --pull
      a-kernel, … named after the last file, as LinuxKit's own tool writes them; images come from their registries

Images are references, or dir:PATH and tar:PATH for files on this machine. Formats besides those of `uvm-build default`:
kernel+initrd, tar-kernel-initrd, tar, docker. The key `lcow` of a description is ours: agent (true, false), modules (names of
further kernel modules), verity (true: rootfs.vhd is checked by hash).";

/// Make boot files of LinuxKit descriptions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Build {
    /// The description; later files add to earlier ones. `-` is standard input
    #[arg(required = true, value_name = "FILE.yml")]
    files: Vec<PathBuf>,

    /// Directory for the outputs; made if it is not there
    #[arg(short, long, alias = "dir", value_name = "DIR", default_value = ".")]
    output: PathBuf,

    /// What to write; may be given several times [default: lcow]
    #[arg(short, long = "format", value_name = "FORMAT")]
    formats: Vec<Output>,

    /// The beginning of the names of LinuxKit's formats [default: that of the last file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The machine's processor: amd64, arm64, riscv64
    #[arg(long, value_name = "ARCH", default_value = "amd64")]
    arch: String,

    /// Fetch images from their registries, whether they are here or not
    #[arg(long)]
    pull: bool,

    /// Where images are looked for first: an OCI layout (LinuxKit's cache is one) or a `docker save` archive; may be given
    /// several times
    #[arg(long, value_name = "DIR|FILE", env = "LINUXKIT_CACHE")]
    cache: Vec<PathBuf>,

    /// Registries asked first, as [REGISTRY=]URL
    #[arg(long, value_name = "MIRROR", env = "LINUXKIT_MIRROR", default_value = "")]
    mirror: String,

    /// Unpack the kernel in LinuxKit's formats; for ours there is the format vmlinux
    #[arg(long)]
    decompress_kernel: bool,

    /// Print the merged description and build nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    making: Making,

    #[command(flatten)]
    foreign: Foreign,
}

impl Build {
    pub(crate) fn run(self, unfinished: &Unfinished) -> Result<()> {
        self.foreign.refuse()?;
        let loaded = load::load(&self.files)?;
        if self.dry_run {
            let text = files::yaml(&loaded.document)?;
            return say(|out| write!(out, "{text}"));
        }
        let scratch = unfinished
            .directory("uvm-build-", &env::temp_dir())
            .context("cannot make a temporary directory")?;
        let images = self.images(scratch.path())?;
        let options = self.options(&images, scratch.path(), unfinished)?;
        print(&build::build(loaded, &images, &options)?);
        Ok(())
    }

    fn images(&self, scratch: &Path) -> Result<Images> {
        let architecture = match self.arch.as_str() {
            "amd64" | "x86_64" => "amd64",
            "arm64" | "aarch64" => "arm64",
            "riscv64" => "riscv64",
            other => bail!("there is no architecture {other}; there are amd64, arm64, riscv64"),
        };
        let platform =
            Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None };
        let registry = if self.pull {
            let mirrors = Mirror::list(&self.mirror)?;
            let credentials = DockerConfig::of_user()?;
            Some(Registry::new(RegistryOptions { mirrors, credentials, ..RegistryOptions::default() }))
        } else {
            None
        };
        for cache in &self.cache {
            fs::metadata(cache).with_context(|| format!("cannot use the cache {}", cache.display()))?;
        }
        let cache = Cache::of_user()?;
        Ok(Images {
            store: cache.images()?,
            caches: self.cache.clone(),
            platform,
            registry,
            progress: self.making.progress(),
            attested: if self.making.sbom() { Some(cache.attested()?) } else { None },
            scratch: Store::open(scratch)?,
        })
    }

    fn options(self, images: &Images, scratch: &Path, unfinished: &Unfinished) -> Result<Options> {
        let mut outputs: BTreeSet<Output> = self.formats.into_iter().collect();
        if outputs.is_empty() {
            outputs.insert(Output::Ours(Format::Lcow));
        }
        if let Some(name) = self.name.as_ref().filter(|name| name.is_empty() || name.contains(['/', '\\'])) {
            bail!("--name {name:?} is no beginning of file names; -o names the directory");
        }
        let ours = outputs.iter().any(|output| matches!(output, Output::Ours(_)));
        if ours && images.platform.architecture != "amd64" {
            bail!(
                "boot files with the guest agent can be made for amd64 only; kernel+initrd and tar can be made for {}",
                images.platform.architecture
            );
        }
        Ok(Options {
            directory: self.output,
            name: self.name.unwrap_or_else(|| load::output_name(&self.files)),
            outputs,
            agent: self.making.agent()?,
            progress: self.making.progress(),
            sbom: self.making.sbom(),
            decompress_kernel: self.decompress_kernel,
            write: self.making.options(BTreeSet::new())?,
            scratch: scratch.to_owned(),
            unfinished: unfinished.clone(),
        })
    }
}
