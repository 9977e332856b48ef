//! `lcow load` and `lcow images`.

use std::path::PathBuf;
use std::process::ExitCode;

use lcow_oci::Reference;
use lcow_oci::load::{self, Options};

use super::table::{Table, print, size};
use crate::home::Home;

const EXAMPLES: &str = "\
Examples:
  docker save busybox -o busybox.tar && lcow load busybox.tar
  lcow load --name me/app:1 ./layout";

/// Arguments of `lcow load`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LoadArgs {
    /// A name for the image, instead of any that it comes with
    #[arg(long, value_name = "REF")]
    name: Option<Reference>,
    /// An OCI image layout, as a directory or a tar archive, or what `docker save` writes
    #[arg(value_name = "FILE_OR_DIR")]
    path: PathBuf,
}

/// Loads images and prints their names.
pub(super) fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let store = Home::open()?.store()?;
    let options = Options { name: args.name, ..Options::default() };
    for reference in load::load(&store, &args.path, &options)? {
        print(&format!("Loaded image: {reference}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the images.
pub(super) fn list() -> anyhow::Result<ExitCode> {
    use std::io::IsTerminal;
    let people = std::io::stdout().is_terminal();
    let mut table = Table::new(["IMAGE", "DIGEST", "SIZE"]);
    for image in Home::open()?.store()?.list()? {
        let bytes = if people { size(image.size) } else { image.size.to_string() };
        table.row([image.reference.to_string(), image.digest.to_string(), bytes]);
    }
    table.print()?;
    Ok(ExitCode::SUCCESS)
}
