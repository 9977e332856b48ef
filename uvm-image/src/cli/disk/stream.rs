//! `uvm-build disk diff` and `export`: a disk as an archive.
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use lcow_disk::ext4::export::{self, Form};
use lcow_disk::ext4::reader::{FileType, Reader};

use super::output::Output;
use super::source::{Part, Source, inner};

/// The changes on a scratch disk (or a layer disk) as the tar of an OCI layer, whiteouts included
#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    source: Source,

    /// The overlay's upper directory on the disk [default: /upper if there is one, else /]
    #[arg(long, value_name = "PATH")]
    upper: Option<PathBuf>,

    /// File for the archive [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The files of a disk as a tar, exactly as they are
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    source: Source,

    /// Directory on the disk
    #[arg(default_value = "/")]
    path: PathBuf,

    /// File for the archive [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Diff {
    pub(super) fn run(self) -> Result<()> {
        let mut disk = self.source.file_system()?;
        let upper = match &self.upper {
            Some(path) => {
                disk.resolve(inner(path)).with_context(|| self.source.disk.display().to_string())?
            }
            None => default_upper(&mut disk)?,
        };
        write(&mut disk, upper, Form::Layer, self.output.as_deref())
    }
}

impl Export {
    pub(super) fn run(self) -> Result<()> {
        let mut disk = self.source.file_system()?;
        let directory =
            disk.resolve(inner(&self.path)).with_context(|| self.source.disk.display().to_string())?;
        write(&mut disk, directory, Form::Plain, self.output.as_deref())
    }
}

fn default_upper(disk: &mut Reader<Part>) -> Result<u32> {
    let root = disk.root();
    if let Some(upper) = disk.lookup(root, b"upper")?
        && disk.metadata(upper)?.file_type == FileType::Directory
    {
        return Ok(upper);
    }
    Ok(root)
}

fn write(disk: &mut Reader<Part>, directory: u32, form: Form, output: Option<&Path>) -> Result<()> {
    let stats = match output {
        Some(path) => {
            let mut output = Output::new(path)?;
            let stats = to(disk, directory, form, output.file())
                .with_context(|| format!("writing {}", path.display()))?;
            output.keep()?;
            stats
        }
        None if io::stdout().is_terminal() => bail!("an archive is nothing for a terminal: use -o FILE"),
        None => to(disk, directory, form, &mut io::stdout().lock())?,
    };
    if stats.skipped_sockets > 0 {
        eprintln!("uvm-build: warning: {} sockets left out", stats.skipped_sockets);
    }
    Ok(())
}

fn to<W: Write>(
    disk: &mut Reader<Part>,
    directory: u32,
    form: Form,
    out: &mut W,
) -> Result<export::ExportStats> {
    let mut out: BufWriter<&mut W> = BufWriter::with_capacity(1 << 18, out);
    Ok(export::write(disk, directory, form, &mut out)?)
}
