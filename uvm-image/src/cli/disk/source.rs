//! The disk that a command reads.
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use lcow_disk::Window;
use lcow_disk::ext4::reader::Reader;
use lcow_disk::gpt::Table;
use lcow_disk::image::Image;

use crate::cli::output::tell;

/// A disk file and the part of it that is meant.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The disk: raw, VHD or VHDX
    pub(super) disk: PathBuf,

    /// The partition, counted from 1, of a disk that has some
    #[arg(short, long, value_name = "N")]
    partition: Option<usize>,
}

/// What the file system is read from.
pub(super) type Part = Window<Image<File>>;

impl Source {
    /// The disk, or its partition.
    pub(super) fn part(&self) -> Result<Part> {
        let path = &self.disk;
        let opening = || format!("opening {}", path.display());
        let file = File::open(path).with_context(opening)?;
        if file.metadata().with_context(opening)?.is_dir() {
            bail!("{} is a directory, not a disk", path.display());
        }
        let mut image = Image::open(file).with_context(|| path.display().to_string())?;
        let table = partitions(&mut image);
        let size = image.size();
        match (self.partition, table) {
            (None, None) => Ok(Window::new(image, 0, size)),
            (None, Some(table)) => Err(anyhow!(
                "{} has {} partitions: choose one with --partition",
                path.display(),
                table.partitions.len()
            )),
            (Some(_), None) => Err(anyhow!("{} has no partitions", path.display())),
            (Some(number), Some(table)) => {
                let part = number.checked_sub(1).and_then(|at| table.partitions.get(at));
                let part = part.with_context(|| format!("{} has no partition {number}", path.display()))?;
                Ok(part.window(image))
            }
        }
    }

    /// The file system in it. One that may be incomplete is read all the same, with a warning.
    pub(super) fn file_system(&self) -> Result<Reader<Part>> {
        let reader = Reader::open(self.part()?).with_context(|| self.disk.display().to_string())?;
        if !reader.is_clean() {
            tell(format_args!(
                "warning: {} was not unmounted: what was written last may be missing",
                self.disk.display()
            ));
        }
        Ok(reader)
    }
}

/// The partition table, if there is one.
pub(super) fn partitions(image: &mut (impl Read + Seek)) -> Option<Table> {
    Table::read(image).ok()
}

/// A path inside a disk, as bytes.
pub(super) fn inner(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
