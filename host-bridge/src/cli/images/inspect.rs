//! `lcow inspect` and `lcow history`.

use std::process::ExitCode;

use lcow_oci::store::{Image, Store};
use serde_json::{Value, json};

use super::{short, time};
use crate::cli::table::{Table, print, size};
use crate::home::Home;

/// Characters of a step that are shown.
const STEP_WIDTH: usize = 45;

/// Arguments of `lcow inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lcow inspect busybox
  lcow inspect busybox | jq -r '.[0].Config.Cmd[]'")]
pub(in crate::cli) struct InspectArgs {
    /// Names or ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Prints what is known about images, as JSON.
pub(in crate::cli) fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let store = Home::open()?.store()?;
    let mut objects = Vec::new();
    for text in &args.images {
        let image = store.get(&store.find(text)?)?;
        objects.push(object(&store, &image)?);
    }
    print(&format!("{}\n", serde_json::to_string_pretty(&objects)?))?;
    Ok(ExitCode::SUCCESS)
}

/// With the names that `docker inspect` has.
fn object(store: &Store, image: &Image) -> anyhow::Result<Value> {
    let names = store.names_of(&image.digest)?;
    let tags: Vec<String> =
        names.iter().filter(|name| name.digest().is_none()).map(lcow_oci::Reference::familiar).collect();
    let repository = |name: &lcow_oci::Reference| format!("{}/{}", name.registry(), name.repository());
    let digests: Vec<String> =
        names.iter().map(|name| format!("{}@{}", repository(name), image.digest)).collect();
    let (config, layers) = (&image.config, &image.manifest.layers);
    Ok(json!({
        "Id": image.manifest.config.digest,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": config.created,
        "Author": config.author.as_deref().unwrap_or_default(),
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "Size": layers.iter().map(|layer| layer.size).sum::<u64>() + image.manifest.config.size,
        "Config": config.config,
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
        "Descriptor": { "mediaType": image.media_type, "digest": image.digest, "size": image.size },
        "LayerBlobs": layers,
    }))
}

/// Arguments of `lcow history`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HistoryArgs {
    /// Show steps and ids as a whole
    #[arg(long)]
    no_trunc: bool,
    /// Name or id
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// Prints how an image came about, latest step first.
pub(in crate::cli) fn history(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let store = Home::open()?.store()?;
    let image = store.get(&store.find(&args.image)?)?;
    let mut layers = image.manifest.layers.iter().map(|layer| layer.size);
    let mut rows = Vec::new();
    for step in &image.config.history {
        let bytes = if step.empty_layer { 0 } else { layers.next().unwrap_or_default() };
        rows.push([
            "<missing>".to_owned(),
            time::ago(step.created.as_deref()),
            shown(step.created_by.as_deref().unwrap_or_default(), args.no_trunc),
            size(bytes),
            shown(step.comment.as_deref().unwrap_or_default(), args.no_trunc),
        ]);
    }
    // Layers that nothing is told about.
    for bytes in layers {
        rows.push(["<missing>".into(), "unknown".into(), String::new(), size(bytes), String::new()]);
    }
    let id = image.manifest.config.digest;
    if let Some(last) = rows.last_mut() {
        last[0] = if args.no_trunc { id.to_string() } else { short(&id) };
    }
    let mut table = Table::new(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    rows.into_iter().rev().for_each(|row| table.row(row));
    table.print()?;
    Ok(ExitCode::SUCCESS)
}

/// On one line, and nothing that could do things to a terminal.
fn shown(text: &str, whole: bool) -> String {
    let line: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if whole || line.len() <= STEP_WIDTH {
        return line.into_iter().collect();
    }
    line[..STEP_WIDTH - 1].iter().chain(&['…']).collect()
}
