//! `lcow images` and `lcow images prune`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use lcow_oci::Reference;
use lcow_oci::store::Summary;
use serde_json::json;

use super::{short, time};
use crate::cli::table::{Table, print, size};
use crate::home::{Extent, Home};

const EXAMPLES: &str = "\
Examples:
  lcow images                          all of them
  lcow images --digests busybox        those of one repository, with their digests
  lcow images -q                       just ids, for scripts
  lcow images --format json            one JSON object on each line
  lcow images prune                    free what no image and no container needs";

/// Arguments of `lcow images`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct ImagesArgs {
    #[command(subcommand)]
    command: Option<ImagesCommand>,
    /// Also show digests of manifests
    #[arg(long)]
    digests: bool,
    /// Show whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Show ids only
    #[arg(short, long)]
    quiet: bool,
    /// How to show them
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
    /// Only those of this repository, or with this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    only: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ImagesCommand {
    /// Delete what no image and no container needs: blobs, layer disks, what interrupted commands have left behind.
    Prune(PruneArgs),
}

#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// Also images that no container was made of
    #[arg(short, long)]
    all: bool,
    /// Accepted because docker has it; nothing is asked anyway
    #[arg(short, long, hide = true)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ListFormat {
    Table,
    Json,
}

/// Lists the images, or cleans up.
pub(in crate::cli) fn images(args: &ImagesArgs) -> anyhow::Result<ExitCode> {
    if let Some(ImagesCommand::Prune(args)) = &args.command {
        return prune(args);
    }
    let (mut images, damaged) = Home::open()?.store()?.list_whole()?;
    for image in damaged {
        let error = anyhow::Error::from(image.error);
        eprintln!("lcow: {} is damaged: {error:#}", image.reference.familiar());
    }
    if let Some(only) = &args.only {
        let wanted: Reference = only.parse()?;
        let tagged = only.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
        images.retain(|image| {
            let name = &image.reference;
            (name.registry(), name.repository()) == (wanted.registry(), wanted.repository())
                && (!tagged || *name == wanted)
        });
    }
    if args.quiet {
        let ids: BTreeSet<String> = images.iter().map(|image| id(image, args.no_trunc)).collect();
        print(&ids.into_iter().map(|id| id + "\n").collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    match args.format {
        ListFormat::Json => {
            let lines: Vec<String> = images.iter().map(|image| object(image).to_string() + "\n").collect();
            print(&lines.concat())?;
        }
        ListFormat::Table => table(args, &images)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(args: &ImagesArgs, images: &[Summary]) -> std::io::Result<()> {
    let people = std::io::stdout().is_terminal();
    let cells = |image: &Summary| {
        let bytes = if people { size(image.size) } else { image.size.to_string() };
        let created = if people {
            time::ago(image.created.as_deref())
        } else {
            image.created.clone().unwrap_or_default()
        };
        (repository(&image.reference), tag(&image.reference), id(image, args.no_trunc), created, bytes)
    };
    if args.digests {
        let mut table = Table::new(["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]);
        for image in images {
            let (repository, tag, id, created, bytes) = cells(image);
            table.row([repository, tag, image.digest.to_string(), id, created, bytes]);
        }
        return table.print();
    }
    let mut table = Table::new(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    for image in images {
        let (repository, tag, id, created, bytes) = cells(image);
        table.row([repository, tag, id, created, bytes]);
    }
    table.print()
}

fn object(image: &Summary) -> serde_json::Value {
    json!({
        "Repository": repository(&image.reference),
        "Tag": tag(&image.reference),
        "ID": image.id,
        "Digest": image.digest,
        "CreatedAt": image.created,
        "Size": image.size,
        "Platform": image.platform.to_string(),
    })
}

/// As people write it.
fn repository(reference: &Reference) -> String {
    let familiar = reference.familiar();
    let name = familiar.split('@').next().unwrap_or_default();
    let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    name.strip_suffix(tag.as_str()).unwrap_or(name).to_owned()
}

fn tag(reference: &Reference) -> String {
    reference.tag().unwrap_or("<none>").to_owned()
}

fn id(image: &Summary, whole: bool) -> String {
    if whole { image.id.to_string() } else { short(&image.id) }
}

fn prune(args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    if args.all {
        let store = home.store()?;
        let containers = home.containers().list()?.containers;
        for image in store.list_whole()?.0 {
            let used = containers.iter().any(|listed| listed.record.image_digest == Some(image.digest));
            if !used {
                store.untag(&image.reference)?;
                print(&format!("Untagged: {}\n", image.reference))?;
            }
        }
    }
    let collected = home.collect_garbage(Extent::Everything)?;
    for error in collected.damaged {
        eprintln!("lcow: all layer disks are kept: {:#}", anyhow::Error::from(error));
    }
    print(&format!(
        "Deleted: {} blobs, {} layer disks\nTotal reclaimed space: {}\n",
        collected.blobs,
        collected.disks,
        size(collected.bytes)
    ))?;
    Ok(ExitCode::SUCCESS)
}
