//! `uvm-build disk ls` and `cat`.
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use lcow_disk::ext4::reader::{FileType, Metadata, Reader};

use super::source::{Source, inner};

/// List what is in a directory of a disk
#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    source: Source,

    /// Directory or file on the disk
    #[arg(default_value = "/")]
    path: PathBuf,

    /// With mode, owner, size and time of last modification (seconds since 1970)
    #[arg(short, long)]
    long: bool,

    /// And everything below
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl Ls {
    pub(super) fn run(self) -> Result<()> {
        let mut disk = self.source.file_system()?;
        let path = inner(&self.path);
        let start = disk.resolve(path).with_context(|| self.source.disk.display().to_string())?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        if disk.metadata(start)?.file_type != FileType::Directory {
            self.line(&mut disk, &mut out, path, start)?;
            return Ok(out.flush()?);
        }
        let mut waiting = vec![(Vec::new(), start)];
        let mut entered = std::collections::HashSet::new();
        while let Some((prefix, directory)) = waiting.pop() {
            if !entered.insert(directory) {
                anyhow::bail!("the directory {:?} has two names", String::from_utf8_lossy(&prefix));
            }
            let mut entries = disk.read_dir(directory)?;
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let mut below = Vec::new();
            for entry in entries {
                let name = [&prefix[..], &entry.name].concat();
                let file_type = self.line(&mut disk, &mut out, &name, entry.inode)?;
                if self.recursive && file_type == FileType::Directory {
                    below.push(([&name[..], b"/"].concat(), entry.inode));
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        Ok(out.flush()?)
    }

    fn line<D: Read + Seek>(
        &self,
        disk: &mut Reader<D>,
        out: &mut impl Write,
        name: &[u8],
        inode: u32,
    ) -> Result<FileType> {
        let found = disk.metadata(inode)?;
        if self.long {
            write!(
                out,
                "{} {:3} {:5} {:5} {:>10} {:>11} ",
                mode(&found),
                found.links,
                found.uid,
                found.gid,
                size(&found),
                found.mtime.seconds
            )?;
        }
        out.write_all(name)?;
        if self.long && found.file_type == FileType::Symlink {
            out.write_all(b" -> ")?;
            out.write_all(&disk.read_link(inode)?)?;
        }
        out.write_all(b"\n")?;
        Ok(found.file_type)
    }
}

fn mode(found: &Metadata) -> String {
    let kind = match found.file_type {
        FileType::File => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
    };
    format!("{kind}{:04o}", found.mode)
}

/// Size, or the numbers of a device.
fn size(found: &Metadata) -> String {
    match found.file_type {
        FileType::CharDevice | FileType::BlockDevice => format!("{},{}", found.device.0, found.device.1),
        _ => found.size.to_string(),
    }
}

/// Write the content of a file on a disk to the standard output
#[derive(Debug, Args)]
pub(crate) struct Cat {
    #[command(flatten)]
    source: Source,

    /// The file; symbolic links are not followed
    path: PathBuf,
}

impl Cat {
    pub(super) fn run(self) -> Result<()> {
        let mut disk = self.source.file_system()?;
        let inode =
            disk.resolve(inner(&self.path)).with_context(|| self.source.disk.display().to_string())?;
        let mut file = disk.file(inode).with_context(|| self.path.display().to_string())?;
        io::copy(&mut file, &mut io::stdout().lock()).with_context(|| self.path.display().to_string())?;
        Ok(())
    }
}
