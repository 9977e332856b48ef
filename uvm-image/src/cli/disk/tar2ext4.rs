//! `uvm-build disk tar2ext4`: the drop-in for scripts.
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use lcow_disk::ext4::layer::{Options, Whiteouts, convert_to_file};
use lcow_disk::{verity, vhd};
use sha2::{Digest, Sha256};

use super::output::Output;
use crate::cli::output::{say, tell};

const EXAMPLE: &str = "\
Flags may have one dash or two.

Examples:
  uvm-build disk tar2ext4 -i layer.tar -o layer.vhd -overlay -vhd
  gzip -dc layer.tar.gz | uvm-build disk tar2ext4 -o layer.vhd -overlay -vhd -verity";

/// Turn an uncompressed tar into a read-only ext4 image
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
#[expect(clippy::struct_excessive_bools, reason = "they are the command line's flags")]
pub(crate) struct Tar2Ext4 {
    /// The archive [default: standard input]
    #[arg(short, value_name = "IN.tar")]
    input: Option<PathBuf>,

    /// The image; written beside its place and renamed when it is complete
    #[arg(short, value_name = "OUT")]
    output: PathBuf,

    /// Turn whiteouts into the form of overlayfs; otherwise they are ordinary files
    #[arg(long)]
    overlay: bool,

    /// Take backslashes in names for slashes
    #[arg(long)]
    convert_slash: bool,

    /// Store files of up to 128 bytes in their inodes (DAX cannot read them)
    #[arg(long)]
    inline: bool,

    /// Append a VHD footer
    #[arg(long)]
    vhd: bool,

    /// Only append a VHD footer: the input is an image, not an archive
    #[arg(long, conflicts_with_all = ["overlay", "convert_slash", "inline", "verity"])]
    only_vhd: bool,

    /// Append a dm-verity hash tree, and print its root hash
    #[arg(long)]
    verity: bool,
}

impl Tar2Ext4 {
    pub(super) fn run(self) -> Result<()> {
        let mut output = Output::new(&self.output)?;
        let root = self.write(output.file()).with_context(|| format!("writing {}", self.output.display()))?;
        output.keep()?;
        if let Some(root) = root {
            say(|out| writeln!(out, "{root}"))?;
        }
        Ok(())
    }

    /// Write the whole image; gives the root hash if there is a tree.
    fn write(&self, file: &mut File) -> Result<Option<verity::RootHash>> {
        let input: Box<dyn Read> = match &self.input {
            Some(path) => Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?),
            None => Box::new(io::stdin().lock()),
        };
        if self.only_vhd {
            add_footer(input, file)?;
            return Ok(None);
        }
        let options = Options {
            whiteouts: if self.overlay { Whiteouts::Overlay } else { Whiteouts::Keep },
            convert_backslashes: self.convert_slash,
            inline_data: self.inline,
            vhd_footer: self.vhd && !self.verity,
            ..Options::default()
        };
        let stats = convert_to_file(input, file, &options)?;
        if stats.dropped_xattrs > 0 {
            tell(format_args!("warning: {} extended attributes left out", stats.dropped_xattrs));
        }
        if !self.verity {
            return Ok(None);
        }
        let tree = verity::append(file, stats.file_system_bytes, stats.uuid)?;
        if self.vhd {
            vhd::append_footer(file, tree.end, stats.uuid)?;
        }
        Ok(Some(tree.root))
    }
}

/// Copy an image and append a footer whose identity is derived from it.
fn add_footer(mut input: impl Read, file: &mut File) -> Result<()> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
    }
    let size = file.seek(SeekFrom::End(0))?;
    if size == 0 || !size.is_multiple_of(512) {
        bail!("the image has {size} bytes: a VHD needs a multiple of 512");
    }
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finalize()[..16]);
    Ok(vhd::append_footer(file, size, id)?)
}
