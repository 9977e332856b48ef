//! `lcow load` and `lcow save`.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use lcow_oci::Reference;
use lcow_oci::load::{self, Options};
use lcow_oci::save::{self, Format};

use crate::cli::table::print;
use crate::home::Home;

const LOAD_EXAMPLES: &str = "\
Examples:
  docker save busybox -o busybox.tar && lcow load busybox.tar
  lcow load --name me/app:1 ./layout";

const SAVE_EXAMPLES: &str = "\
Examples:
  lcow save -o busybox.tar busybox && docker load -i busybox.tar
  lcow save --format oci busybox me/app:1 | zstd > images.tar.zst";

/// Arguments of `lcow load`.
#[derive(Debug, clap::Args)]
#[command(after_help = LOAD_EXAMPLES)]
pub(in crate::cli) struct LoadArgs {
    /// A name for the image, instead of any that it comes with
    #[arg(long, value_name = "REF")]
    name: Option<Reference>,
    /// The same as without the flag, as with docker
    #[arg(short, long, value_name = "FILE", hide = true)]
    input: Option<PathBuf>,
    /// An OCI image layout, as a directory or a tar archive, or what `docker save` writes
    #[arg(value_name = "FILE_OR_DIR", required_unless_present = "input", conflicts_with = "input")]
    path: Option<PathBuf>,
}

/// Loads images and prints their names.
pub(in crate::cli) fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let store = Home::open()?.store()?;
    let options = Options { name: args.name, ..Options::default() };
    let path = args.path.or(args.input).context("no file was given")?;
    let loaded = load::load(&store, &path, &options)?;
    for skipped in loaded.skipped {
        eprintln!("lcow: left out: {skipped}");
    }
    for reference in loaded.names {
        print(&format!("Loaded image: {reference}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Arguments of `lcow save`.
#[derive(Debug, clap::Args)]
#[command(after_help = SAVE_EXAMPLES)]
pub(in crate::cli) struct SaveArgs {
    /// The archive [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// docker: for docker and all other tools; oci: an OCI image layout and nothing else
    #[arg(long, value_enum, default_value_t = SaveFormat::Docker)]
    format: SaveFormat,
    /// Names or ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SaveFormat {
    Docker,
    Oci,
}

/// Writes images to an archive.
pub(in crate::cli) fn save(args: &SaveArgs) -> anyhow::Result<ExitCode> {
    let store = Home::open()?.store()?;
    let references: Vec<Reference> =
        args.images.iter().map(|image| store.find(image)).collect::<Result<_, _>>()?;
    let format = match args.format {
        SaveFormat::Docker => Format::Docker,
        SaveFormat::Oci => Format::Oci,
    };
    let Some(path) = &args.output else {
        let out = io::stdout();
        if out.is_terminal() {
            bail!("an archive cannot be written to a terminal; use -o FILE or redirect the output");
        }
        save::save(&store, &references, format, BufWriter::with_capacity(256 * 1024, out.lock()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let saved = save::save(&store, &references, format, BufWriter::with_capacity(256 * 1024, file));
    saved.inspect_err(|_| {
        // Half an archive is of no use; that it cannot be removed must not hide why it is one.
        let _ = std::fs::remove_file(path);
    })?;
    Ok(ExitCode::SUCCESS)
}
