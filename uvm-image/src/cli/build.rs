//! `uvm-build build`.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use clap::Args;
use lcow_oci::Platform;
use lcow_oci::registry::{DockerConfig, Mirror, Options as RegistryOptions, Registry};
use lcow_oci::store::Store;
use uvm_image::cache::Cache;
use uvm_image::formats::{Format, Target, write};
use uvm_image::linuxkit::build::{self, Options, Output};
use uvm_image::linuxkit::images::Images;
use uvm_image::linuxkit::{files, load};

use super::default::source_date_epoch;

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
    #[arg(short, long, value_name = "DIR", default_value = ".")]
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

    /// Leave sbom.spdx.json out of the root
    #[arg(long)]
    no_sbom: bool,

    /// Print the merged description and build nothing
    #[arg(long)]
    dry_run: bool,

    /// The guest agent, a static x86-64 program [default: guest-agent beside uvm-build]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,

    /// The hypervisor that uvm.vhdx and unified.efi are for, which carry their own kernel command line
    #[arg(long, value_name = "hyper-v|qemu", default_value = "hyper-v")]
    target: Target,

    /// Further words for that command line
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    append: String,

    /// The EFI stub of uvm.vhdx and unified.efi [default: that of the package systemd-boot-efi]
    #[arg(long, value_name = "FILE")]
    efi_stub: Option<PathBuf>,
}

impl Build {
    pub(crate) fn run(self) -> Result<()> {
        let loaded = load::load(&self.files)?;
        if self.dry_run {
            print!("{}", files::yaml(&loaded.document)?);
            return Ok(());
        }
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let images = self.images(scratch.path())?;
        let options = self.options(&images)?;
        let report = build::build(loaded, &images, &options)?;
        for warning in &report.warnings {
            eprintln!("uvm-build: warning: {warning}");
        }
        eprint!("{report}");
        Ok(())
    }

    fn images(&self, scratch: &std::path::Path) -> Result<Images> {
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
        let place = Cache::of_user()?.work_dir()?.join("images");
        for cache in &self.cache {
            fs::metadata(cache).with_context(|| format!("cannot use the cache {}", cache.display()))?;
        }
        let (store, scratch) = (Store::open(place)?, Store::open(scratch)?);
        Ok(Images { store, caches: self.cache.clone(), platform, registry, scratch })
    }

    fn options(self, images: &Images) -> Result<Options> {
        let mut outputs: std::collections::BTreeSet<Output> = self.formats.into_iter().collect();
        if outputs.is_empty() {
            outputs.insert(Output::Ours(Format::Lcow));
        }
        let ours = outputs.iter().any(|output| matches!(output, Output::Ours(_)));
        if ours && images.platform.architecture != "amd64" {
            bail!(
                "boot files with the guest agent can be made for amd64 only; kernel+initrd and tar can be made for {}",
                images.platform.architecture
            );
        }
        let agent = match self.agent {
            Some(agent) => agent,
            None => env::current_exe()
                .context("cannot find out where uvm-build is")?
                .with_file_name("guest-agent"),
        };
        let latest = source_date_epoch()?;
        let default = write::Options::default();
        let write = write::Options {
            target: self.target,
            append: self.append,
            efi_stub: self.efi_stub.unwrap_or_else(|| default.efi_stub.clone()),
            mtime: latest.unwrap_or(default.mtime),
            ..default
        };
        Ok(Options {
            directory: self.output,
            name: self.name.unwrap_or_else(|| load::output_name(&self.files)),
            outputs,
            agent,
            sbom: !self.no_sbom,
            write,
            latest: latest.and_then(|latest| i64::try_from(latest).ok()),
        })
    }
}
