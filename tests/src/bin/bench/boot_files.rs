//! Making boot files: the product's own, and those of a description of 200 MB beside unpacking the same layers with GNU tar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lcow_oci::build::{ImageBuilder, LayerBuilder};
use lcow_oci::{Compression, Platform};

use crate::series::Results;

const LAYERS: u32 = 4;
const FILES: u32 = 250;
const FILE: usize = 200_000;
/// A layer has far more bytes than any other blob.
const LEAST_LAYER: u64 = 1 << 20;

/// All figures of this module; none without the tailored kernel.
pub(crate) fn measure(dist: &Path, runs: usize, results: &mut Results) -> Result<()> {
    let uvm_build = dist.join("uvm-build");
    let kernel =
        Command::new(&uvm_build).args(["kernel", "path"]).output().context("cannot run uvm-build")?;
    if !kernel.status.success() {
        eprintln!("bench: the tailored kernel has not been built");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("default");
    for run in 0..=runs {
        let start = Instant::now();
        quietly(Command::new(&uvm_build).arg("default").arg("-o").arg(&out))?;
        // The first run brings everything into the page cache.
        if run > 0 {
            results.add_ms("uvm_default_ms", start.elapsed());
        }
    }
    description(directory.path(), &uvm_build, String::from_utf8_lossy(&kernel.stdout).trim(), runs, results)
}

fn description(
    directory: &Path,
    uvm_build: &Path,
    kernel: &str,
    runs: usize,
    results: &mut Results,
) -> Result<()> {
    let cache = directory.join("cache");
    let layers = image(&cache)?;
    let file = directory.join("large.yml");
    fs::write(&file, format!("kernel: {{image: \"dir:{kernel}\", tar: none}}\ninit: [large]\n"))?;
    for run in 0..=runs {
        let (out, root) = (directory.join("out"), directory.join("root"));
        let mut build = Command::new(uvm_build);
        build.arg("build").arg(&file).arg("-o").arg(&out).arg("--cache").arg(&cache);
        let start = Instant::now();
        quietly(build.env("LCOW_CACHE", directory.join("kept")))?;
        let ours = start.elapsed();
        fs::create_dir(&root)?;
        let start = Instant::now();
        for layer in &layers {
            quietly(Command::new("tar").arg("-xzf").arg(layer).arg("-C").arg(&root))?;
        }
        // The first build copies the image into its store, once for all.
        if run > 0 {
            results.add_ms("linuxkit_build_200mb_ms", ours);
            results.add_ms("linuxkit_tar_200mb_ms", start.elapsed());
        }
        fs::remove_dir_all(&root)?;
        fs::remove_dir_all(&out)?;
    }
    Ok(())
}

/// Writes the image `large` to `cache`, and gives its layers' files.
fn image(cache: &Path) -> Result<Vec<PathBuf>> {
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    let mut image = ImageBuilder::new("large".parse()?).platform(platform);
    for layer in 0..LAYERS {
        let mut files = LayerBuilder::new();
        for file in 0..FILES {
            files.file(&format!("d{layer}/f{file}"), 0o644, &text(layer * FILES + file));
        }
        image = image.layer(files, Compression::Gzip);
    }
    image.write_layout(cache)?;
    let mut layers = Vec::new();
    for entry in fs::read_dir(cache.join("blobs/sha256"))? {
        let entry = entry?;
        if entry.metadata()?.len() > LEAST_LAYER {
            layers.push(entry.path());
        }
    }
    ensure!(layers.len() == LAYERS as usize, "{} layers", layers.len());
    Ok(layers)
}

/// Words from a list of 4096, so that it is as compressible as programs are.
fn text(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut bytes = Vec::with_capacity(FILE + 12);
    while bytes.len() < FILE {
        let word = (next() & 0xfff).wrapping_mul(2_654_435_761);
        bytes.extend(word.to_le_bytes());
        bytes.extend(word.rotate_left(11).to_le_bytes());
        bytes.extend(word.rotate_left(23).to_le_bytes());
    }
    bytes.truncate(FILE);
    bytes
}

fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
