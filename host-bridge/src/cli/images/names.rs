//! `lcow tag` and `lcow rmi`.

use std::process::ExitCode;

use anyhow::bail;
use lcow_oci::Reference;
use lcow_oci::store::Store;

use crate::cli::OWN_FAILURE;
use crate::cli::table::print;
use crate::containers::Listed;
use crate::home::{Extent, Home};

/// Arguments of `lcow tag`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TagArgs {
    /// Name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The new name; one that is in use moves here
    #[arg(value_name = "NAME")]
    name: Reference,
}

/// Gives an image one more name.
pub(in crate::cli) fn tag(args: &TagArgs) -> anyhow::Result<ExitCode> {
    let store = Home::open()?.store()?;
    store.tag(&store.find(&args.image)?, &args.name)?;
    Ok(ExitCode::SUCCESS)
}

/// Arguments of `lcow rmi`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Takes names away. With an image's last name go its blobs and its layer disks, as far as no other image and no container
needs them; what is in use just now goes with the next `lcow rmi` or `lcow images prune`.")]
pub(in crate::cli) struct RmiArgs {
    /// Also if containers were made of it; they keep what they need
    #[arg(short, long)]
    force: bool,
    /// Names, or ids of images that have one name only
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Removes images and prints the names that went. One that cannot be removed does not save the others.
pub(in crate::cli) fn rmi(args: &RmiArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let store = home.store()?;
    let listing = home.containers().list()?;
    let mut status = ExitCode::SUCCESS;
    for image in &args.images {
        match remove(&store, image, args.force, &listing.containers) {
            Ok(name) => print(&format!("Untagged: {name}\n"))?,
            Err(error) => {
                eprintln!("lcow: {error:#}");
                status = ExitCode::from(OWN_FAILURE);
            }
        }
    }
    for error in home.collect_garbage(Extent::ByTheWay)?.damaged {
        eprintln!("lcow: all layer disks are kept: {:#}", anyhow::Error::from(error));
    }
    Ok(status)
}

fn remove(store: &Store, text: &str, force: bool, containers: &[Listed]) -> anyhow::Result<Reference> {
    let name = store.find(text)?;
    let digest = store.digest(&name)?;
    let last = store.names_of(&digest)?.len() < 2;
    let user = containers.iter().find(|listed| listed.record.image_digest == Some(digest));
    if let Some(user) = user
        && last
        && !force
    {
        bail!(
            "{} is the image of container {}; `lcow rm {1}` first, or use --force",
            name.familiar(),
            user.record.name
        );
    }
    store.untag(&name)?;
    Ok(name)
}
