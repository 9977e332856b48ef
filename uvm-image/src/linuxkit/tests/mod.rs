//! Whole builds, from images that the tests make themselves.

#[cfg(unix)]
mod native;
#[cfg(unix)]
mod trees;

mod attest;
mod behaviours;
mod examples;
mod further;
mod golden;
mod layers;
mod places;
mod product;
mod sbom;
mod shapes;
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use lcow_disk::tar::{Entry, Kind, Reader};
use lcow_oci::build::{ImageBuilder, LayerBuilder, write_layout};
use lcow_oci::model::RunConfig;
use lcow_oci::store::Store;
use lcow_oci::{Compression, Platform};

use super::build::{Options, build};
use super::images::Images;
use super::load;
use crate::formats::write;
use crate::report::Report;
use crate::testing;

pub(super) const BOTH: &str =
    "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\nCONFIG_BLK_DEV_SD=y\nCONFIG_EXT4_FS=y\nCONFIG_OVERLAY_FS=y\n";

/// A directory with a cache of images, an agent, and a place for outputs.
pub(super) struct Bench {
    pub dir: tempfile::TempDir,
    pub platform: Platform,
    pub latest: Option<i64>,
    pub sbom: bool,
    pub decompress_kernel: bool,
}

/// An image with these files, each in a layer of its own.
pub(super) fn image(name: &str, layers: Vec<LayerBuilder>) -> ImageBuilder {
    let image = ImageBuilder::new(name.parse().unwrap()).platform(linux("amd64"));
    layers.into_iter().fold(image, |image, layer| image.layer(layer, Compression::Gzip))
}

pub(super) fn linux(architecture: &str) -> Platform {
    Platform { os: "linux".into(), architecture: architecture.into(), variant: None }
}

pub(super) fn files(files: &[(&str, &[u8])]) -> LayerBuilder {
    let mut layer = LayerBuilder::new();
    for (path, bytes) in files {
        layer.file(path, 0o755, bytes);
    }
    layer
}

pub(super) fn labelled(label: &str) -> RunConfig {
    let labels = [("org.mobyproject.config".to_owned(), label.to_owned())].into();
    RunConfig { cmd: vec!["/run".into()], labels, ..RunConfig::default() }
}

/// A kernel image: kernel, modules, microcode of five bytes.
pub(super) fn kernel(config: &str) -> ImageBuilder {
    let bzimage = testing::xz_bzimage("6.1.0", &testing::vmlinux(true));
    let mut modules = tar::Builder::new(Vec::new());
    for (path, bytes) in [
        ("lib/modules/6.1.0/kernel/net/hv_sock.ko", testing::module(&[])),
        ("lib/modules/6.1.0/kernel/drivers/extra.ko", testing::module(&[])),
        ("lib/modules/6.1.0/kernel/sound/snd.ko", testing::module(&[])),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        modules.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    let tar = modules.into_inner().unwrap();
    let all = [
        ("kernel", &bzimage[..]),
        ("kernel.tar", &tar),
        ("config", config.as_bytes()),
        ("ucode.cpio", b"ucode"),
    ];
    image("k", vec![files(&all)])
}

impl Bench {
    pub(super) fn new(images: Vec<ImageBuilder>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write_layout(&dir.path().join("cache"), images).unwrap();
        fs::write(dir.path().join("guest-agent"), testing::static_program()).unwrap();
        Self { dir, platform: linux("amd64"), latest: None, sbom: false, decompress_kernel: false }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Builds `outputs` of the description `text`.
    pub(super) fn build(&self, text: &str, outputs: &[&str]) -> anyhow::Result<Report> {
        self.build_files(&[text], outputs)
    }

    /// The same with several files.
    pub(super) fn build_files(&self, texts: &[&str], outputs: &[&str]) -> anyhow::Result<Report> {
        let mut described = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let file = self.dir.path().join(if at == 0 { "x.yml".to_owned() } else { format!("x{at}.yml") });
            fs::write(&file, text)?;
            described.push(file);
        }
        let images = Images {
            store: Store::open(self.dir.path().join("store"))?,
            caches: vec![self.dir.path().join("cache")],
            platform: self.platform.clone(),
            registry: None,
            progress: crate::progress::Progress::default(),
            attested: self.sbom.then(|| super::attestation::Kept::at(self.dir.path().join("attested"))),
            scratch: Store::open(self.dir.path().join("scratch"))?,
        };
        let outputs: BTreeSet<_> = outputs.iter().map(|name| name.parse().unwrap()).collect();
        let options = Options {
            directory: self.dir.path().join("out"),
            name: "x".into(),
            outputs,
            agent: self.dir.path().join("guest-agent"),
            sbom: self.sbom,
            decompress_kernel: self.decompress_kernel,
            write: write::Options { epoch: self.latest, ..write::Options::default() },
            scratch: self.dir.path().to_owned(),
            progress: crate::progress::Progress::default(),
            unfinished: crate::interrupt::Unfinished::default(),
        };
        Ok(build(load::load(&described)?, &images, &options)?)
    }

    /// What went wrong, and that it left nothing behind.
    pub(super) fn fails(&self, text: &str, outputs: &[&str]) -> String {
        let error = self.build(text, outputs).unwrap_err();
        let left = fs::read_dir(self.dir.path().join("out")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "something was left behind");
        format!("{error:#}")
    }
}

/// The entries of a tar, and their data.
pub(super) fn entries(tar: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut reader = Reader::new(tar);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut data = vec![0; usize::try_from(entry.size).unwrap()];
        let mut at = 0;
        while at < data.len() {
            at += reader.read_data(&mut data[at..]).unwrap();
        }
        all.push((entry, data));
    }
    all
}

/// A line for each entry: kind, permissions, path and target.
pub(super) fn listing(tar: &[u8]) -> Vec<String> {
    let line = |(entry, _): (Entry, Vec<u8>)| {
        let kind = match entry.kind {
            Kind::Directory => 'd',
            Kind::Symlink => 'l',
            Kind::HardLink => 'h',
            Kind::File => '-',
            _ => '?',
        };
        let link = if entry.link.is_empty() {
            String::new()
        } else {
            format!(" -> {}", String::from_utf8_lossy(&entry.link))
        };
        format!("{kind} {:04o} {}{link}", entry.mode, String::from_utf8_lossy(&entry.path))
    };
    entries(tar).into_iter().map(line).collect()
}
