//! `load` and `images`, and images that cannot be used.

use anyhow::{Context, Result, ensure};
use lcow_oci::Compression;
use lcow_oci::build::{LayerBuilder, write_layout};

use crate::home::{Home, foreign_image, image};
use crate::{Test, boots, plain};

pub(crate) const TESTS: &[Test] = &[
    plain("loaded_images_are_listed", listed),
    plain("an_unknown_image_names_the_known", unknown),
    plain("an_image_for_another_machine_names_its_platforms", wrong_platform),
    boots("a_damaged_layer_is_named_and_harms_nobody_else", damaged),
];

fn listed(home: &Home) -> Result<()> {
    let home = home.empty()?;
    ensure!(home.lcow(&["images"])?.well()?.text().is_empty());
    let layout = tempfile::tempdir()?;
    let images = ["busybox", "ghcr.io/me/app:1"];
    let builders =
        images.map(|name| image(name).map(|image| image.layer(LayerBuilder::new(), Compression::Gzip)));
    let digests = write_layout(layout.path(), builders.into_iter().collect::<Result<_>>()?)?;
    let text = home.load_from(layout.path())?.well()?.text();
    let full = ["docker.io/library/busybox:latest", "ghcr.io/me/app:1"];
    ensure!(text == format!("Loaded image: {}\nLoaded image: {}\n", full[0], full[1]), "{text}");
    let list = home.lcow(&["images"])?.well()?.text();
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    for (line, (name, digest)) in lines.iter().zip(full.iter().zip(&digests)) {
        ensure!(line[..2] == [*name, digest.to_string().as_str()] && line[2].parse::<u64>()? > 0, "{list}");
    }
    ensure!(lines.len() == 2, "{list}");
    let nothing = tempfile::tempdir()?;
    home.load_from(nothing.path())?.refused(125, &["neither"])?;
    Ok(())
}

fn unknown(home: &Home) -> Result<()> {
    home.lcow(&["run", "nginx"])?.refused(125, &["docker.io/library/nginx:latest", "busybox"])?;
    home.empty()?.lcow(&["run", "nginx"])?.refused(125, &["no images"])?;
    Ok(())
}

fn wrong_platform(home: &Home) -> Result<()> {
    for (os, architecture) in [("windows", "amd64"), ("linux", "s390x")] {
        let layout = tempfile::tempdir()?;
        foreign_image("foreign", os, architecture)?.write_layout(layout.path())?;
        home.load_from(layout.path())?.refused(125, &[&format!("{os}/{architecture}")])?;
    }
    ensure!(!home.lcow(&["images"])?.well()?.text().contains("foreign"));
    Ok(())
}

fn damaged(home: &Home) -> Result<()> {
    // Its own: elsewhere other tests convert layers at the same time.
    let directory = tempfile::tempdir()?;
    let home = home.elsewhere(directory.path())?;
    let mut layer = LayerBuilder::new();
    layer.file("unlike-any-other", 0o644, b"content");
    home.load(image("damaged")?.layer(layer, Compression::None).cmd(["true"]))?;
    let blobs = home.files("images/blobs/sha256", "")?;
    let is_layer = |path: &&std::path::PathBuf| {
        std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"unlike-any-other"))
    };
    let blob = blobs.iter().find(is_layer).context("the layer's blob")?;
    let digest = blob.file_name().context("a name")?.to_string_lossy().into_owned();
    let mut bytes = std::fs::read(blob)?;
    bytes[512] ^= 1;
    for content in [&bytes[..], &bytes[..700]] {
        std::fs::write(blob, content)?;
        home.lcow(&["run", "--rm", "damaged"])?.refused(125, &[&digest])?;
    }
    ensure!(home.files("layers", ".tmp")?.is_empty(), "something half-written was left");
    ensure!(!home.lcow(&["ps", "-a"])?.well()?.text().contains("damaged"), "a container was left");
    home.lcow(&["run", "--rm", "busybox", "true"])?.well()?;
    Ok(())
}
