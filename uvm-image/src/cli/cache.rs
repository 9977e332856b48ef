//! `uvm-build cache`.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use lcow_oci::load;
use lcow_oci::save;
use lcow_oci::store::{Freed, Store, StoreError, Summary};
use lcow_oci::{Platform, Reference};
use serde_json::json;
use uvm_image::cache::Cache;
use uvm_image::interrupt::Unfinished;
use uvm_image::kernel::build::{BuildError, Kept, Kernels};
use uvm_image::report::size;

use super::output::{say, tell};

const EXAMPLES: &str = "\
Examples:
  uvm-build cache ls                                 images and kernels, with their sizes
  docker save me/agent:1 | uvm-build cache import -  an image for a description, from docker
  uvm-build cache export linuxkit/init:v1.1 -o init.tar
  uvm-build cache rm linuxkit/init:v1.1 4491fe5a     an image by its name or id, a kernel by its key
  uvm-build cache clean                              what no image and no build refers to any more
  uvm-build cache clean --all                        everything but downloaded packages

The cache is in $LCOW_CACHE, else in lcow in the user's cache directory. `uvm-build build` keeps its images there.";

/// Look into and tidy up what is kept: images of descriptions, and tailored kernels.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List images and kernels.
    Ls {
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Take in the images of a `docker save` archive or an OCI layout.
    Import(Import),
    /// Write images to an archive.
    Export(Export),
    /// Remove images and kernels. One that cannot be removed does not save the others.
    Rm {
        /// An image's name or id, or a kernel's key
        #[arg(required = true, value_name = "NAME|KEY")]
        names: Vec<String>,
    },
    /// Remove what nothing refers to: blobs without an image, kernels that builds do not choose, leftovers.
    Clean {
        /// All images and kernels; downloaded packages stay
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
struct Import {
    /// An archive, or a directory with an OCI layout; `-` is an archive on standard input
    #[arg(value_name = "FILE|-")]
    from: PathBuf,
    /// A name for the image, instead of any that it comes with
    #[arg(long, value_name = "NAME")]
    name: Option<Reference>,
    /// The machine it is for, where there are several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    platform: Platform,
}

#[derive(Debug, Args)]
struct Export {
    /// Names or ids of images
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// The archive [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// docker: for docker and all other tools; oci: an OCI layout and nothing else
    #[arg(long, value_enum, default_value_t = Format::Docker)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Docker,
    Oci,
}

impl CacheArgs {
    pub(crate) fn run(self, unfinished: &Unfinished) -> Result<()> {
        let cache = Cache::of_user()?;
        match self.command {
            Command::Ls { json } => list(&cache, json),
            Command::Import(args) => import(&cache, &args, unfinished),
            Command::Export(args) => export(&cache, &args, unfinished),
            Command::Rm { names } => remove(&cache, &names),
            Command::Clean { all } => clean(&cache, all),
        }
    }
}

fn list(cache: &Cache, as_json: bool) -> Result<()> {
    let (images, damaged) = cache.images()?.list_whole()?;
    let kernels = cache.kernels().kept()?;
    for image in damaged {
        let error = anyhow::Error::from(image.error);
        tell(format_args!("{} is damaged: {error:#}", image.reference.familiar()));
    }
    if as_json {
        let images: Vec<_> = images.iter().map(image_object).collect();
        let kernels: Vec<_> = kernels.iter().map(kernel_object).collect();
        let document = json!({ "directory": cache.dir(), "images": images, "kernels": kernels });
        return say(|out| writeln!(out, "{document:#}"));
    }
    let mut image_rows = vec![["IMAGE", "PLATFORM", "SIZE"].map(str::to_owned)];
    image_rows.extend(
        images.iter().map(|image| [image.reference.familiar(), image.platform.to_string(), size(image.size)]),
    );
    let mut kernel_rows = vec![["KERNEL", "VERSION", "SIZE"].map(str::to_owned)];
    kernel_rows.extend(kernels.iter().map(|kernel| {
        let release = kernel.release.clone().unwrap_or_else(|| "(damaged)".to_owned());
        let used = if kernel.chosen { "" } else { " (not used any more)" };
        [kernel.key.clone(), release, size(kernel.bytes) + used]
    }));
    say(|out| {
        table(out, &image_rows)?;
        writeln!(out)?;
        table(out, &kernel_rows)
    })
}

fn image_object(image: &Summary) -> serde_json::Value {
    json!({
        "name": image.reference.to_string(),
        "id": image.id,
        "digest": image.digest,
        "platform": image.platform.to_string(),
        "size": image.size,
    })
}

fn kernel_object(kernel: &Kept) -> serde_json::Value {
    json!({ "key": kernel.key, "version": kernel.release, "size": kernel.bytes, "used": kernel.chosen })
}

/// Columns as wide as their widest cell.
fn table(out: &mut dyn Write, rows: &[[String; 3]]) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter().try_for_each(|[a, b, c]| writeln!(out, "{a:<first$}  {b:<second$}  {c}"))
}

fn import(cache: &Cache, args: &Import, unfinished: &Unfinished) -> Result<()> {
    let options = load::Options { name: args.name.clone(), platform: args.platform.clone(), only: None };
    let store = cache.images()?;
    let loaded = if args.from == Path::new("-") {
        if io::stdin().is_terminal() {
            bail!("no archive comes from a terminal; name a file or redirect standard input");
        }
        // Its parts come in any order, so that it is read more than once.
        let spool = unfinished
            .directory("import-", &cache.work_dir()?)
            .context("cannot make a temporary directory in the cache")?;
        let archive = spool.path().join("archive.tar");
        let mut file = File::create(&archive).context("cannot make a temporary file")?;
        io::copy(&mut io::stdin().lock(), &mut file).context("cannot read standard input")?;
        load::load(&store, &archive, &options)
    } else {
        load::load(&store, &args.from, &options)
    };
    let loaded = loaded?;
    for skipped in loaded.skipped {
        tell(format_args!("left out: {skipped}"));
    }
    say(|out| loaded.names.iter().try_for_each(|name| writeln!(out, "{name}")))
}

fn export(cache: &Cache, args: &Export, unfinished: &Unfinished) -> Result<()> {
    let store = cache.images()?;
    let names: Vec<Reference> = args.names.iter().map(|name| store.find(name)).collect::<Result<_, _>>()?;
    let format = match args.format {
        Format::Docker => save::Format::Docker,
        Format::Oci => save::Format::Oci,
    };
    let Some(path) = &args.output else {
        let out = io::stdout().lock();
        if out.is_terminal() {
            bail!("an archive is nothing for a terminal: use -o FILE");
        }
        return Ok(save::save(&store, &names, format, BufWriter::with_capacity(1 << 18, out))?);
    };
    // Whole or not at all.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", path.display());
    let new = unfinished.directory(".uvm-build-", directory).with_context(cannot)?;
    let archive = new.path().join("archive.tar");
    let file = File::create(&archive).with_context(cannot)?;
    save::save(&store, &names, format, BufWriter::with_capacity(1 << 18, file))?;
    let _held = unfinished.hold();
    fs::rename(archive, path).with_context(cannot)
}

fn remove(cache: &Cache, names: &[String]) -> Result<()> {
    let store = cache.images()?;
    let mut failures = 0;
    for name in names {
        match remove_one(cache, &store, name) {
            Ok(removed) => say(|out| writeln!(out, "{removed}"))?,
            Err(error) => {
                failures += 1;
                tell(format_args!("{error:#}"));
            }
        }
    }
    if failures > 0 {
        bail!("{failures} of {} could not be removed", names.len());
    }
    Ok(())
}

/// Removes the kernel or image that `name` means; gives what it was.
fn remove_one(cache: &Cache, store: &Store, name: &str) -> Result<String> {
    let kernels = cache.kernels();
    let found: Vec<Kept> = kernels.kept()?.into_iter().filter(|kernel| means(name, &kernel.key)).collect();
    match found.len() {
        0 => {}
        1 => {
            kernels.remove(&found)?;
            return Ok(format!("kernel {}", found[0].key));
        }
        _ => bail!("several kernels begin with {name}"),
    }
    match store.find(name).and_then(|reference| store.remove(&reference).map(|()| reference)) {
        Ok(reference) => Ok(format!("image {reference}")),
        Err(StoreError::Unknown { .. }) => {
            bail!("there is neither an image nor a kernel {name}; `uvm-build cache ls` shows what is there")
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether people mean `key` by `text`: all of it, or enough of its start.
fn means(text: &str, key: &str) -> bool {
    text == key || (text.len() >= 4 && key.starts_with(text))
}

fn clean(cache: &Cache, all: bool) -> Result<()> {
    let (store, kernels) = (cache.images()?, cache.kernels());
    if all {
        for name in store.references()? {
            store.untag(&name)?;
        }
    }
    let freed = if all { store.collect_all_garbage()? } else { store.collect_garbage()? };
    if freed.is_none() {
        tell("images are in use just now; what they do not need goes the next time");
    }
    let (kernels, kernel_bytes) = match clean_kernels(&kernels, all) {
        Err(error @ BuildError::Busy { .. }) => {
            tell(error);
            (0, 0)
        }
        cleaned => cleaned?,
    };
    let selections = if all { cache.forget_selections()? } else { 0 };
    let digests: Vec<_> = store.list_whole()?.0.iter().map(|image| image.digest).collect();
    let attested = cache.attested()?.retain(&digests)?;
    let Freed { files, bytes } = freed.unwrap_or_default();
    let bytes = size(bytes + kernel_bytes + selections + attested);
    say(|out| writeln!(out, "removed: {kernels} kernels, {files} files of images; {bytes} are free again"))
}

/// Kernels that went, and bytes.
fn clean_kernels(kernels: &Kernels, all: bool) -> Result<(usize, u64), BuildError> {
    let unused: Vec<Kept> = kernels.kept()?.into_iter().filter(|kernel| all || !kernel.chosen).collect();
    kernels.remove(&unused)?;
    let bytes: u64 = unused.iter().map(|kernel| kernel.bytes).sum();
    Ok((unused.len(), bytes + kernels.remove_leftovers()?))
}
