use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};

use super::error::LayerError;
use super::reserve::{self, Reserve};
use super::sink::Sink;
use super::source::Plain;
use super::tree::Tree;
use super::{LayerStats, Options, Whiteouts, finish, plan};
use crate::tar::{Entry, Reader};
use crate::vhd::FOOTER_SIZE;

/// Reads of file data larger than this go past the buffer.
const INPUT_BUFFER: usize = 64 * 1024;
/// Where 32-bit block numbers end.
const MAX_DISK: u64 = 1 << 44;

/// Write the file system that `tar` describes to `out`, from its byte 0 on. `tar` is read to its end.
///
/// On failure `out` holds rubbish: write to a temporary file and rename.
pub fn convert<R: Read, W: Write + Seek>(
    tar: R,
    out: W,
    options: &Options,
) -> Result<LayerStats, LayerError> {
    let mut writer = Writer::new(out, options)?;
    writer.add_layer(tar)?;
    writer.finish()
}

/// [`convert`] into a file, which gets the length of the disk. It is faster: space is asked for ahead where the system can
/// do that.
pub fn convert_to_file<R: Read>(tar: R, out: &File, options: &Options) -> Result<LayerStats, LayerError> {
    let mut writer = Writer::reserving(out, options, Some(reserve::in_file))?;
    writer.add_layer(tar)?;
    let stats = writer.finish()?;
    let footer = if options.vhd_footer { FOOTER_SIZE as u64 } else { 0 };
    let end = |source| LayerError::Write { part: "the end", source };
    out.set_len(stats.file_system_bytes + footer).map_err(end)?;
    Ok(stats)
}

/// A file system under construction, from several layers or from single entries.
///
/// Layers are stacked: what a later one brings replaces what earlier ones had under the same name, and with
/// [`Whiteouts::Apply`] or [`Whiteouts::Overlay`] its whiteouts remove names that earlier ones brought. With `Overlay` the
/// removals are also recorded for the layers that the disk will be put on, so that several layers become one. (For the
/// bottom-most ones use `Apply`: overlayfs lists whiteouts that have nothing to hide.)
///
/// ```
/// use std::io::Cursor;
/// use lcow_disk::ext4::layer::{Options, Whiteouts, Writer};
/// use lcow_disk::tar::Entry;
/// let mut disk = Cursor::new(Vec::new());
/// let mut root = Writer::new(&mut disk, &Options { whiteouts: Whiteouts::Apply, ..Options::default() })?;
/// // Any number of `root.add_layer(tar)?`, bottom-most first, and of files from elsewhere:
/// root.add(&Entry::directory("etc", 0o755), std::io::empty())?;
/// root.add(&Entry::file("etc/hostname", 0o644, 5), &b"lcow\n"[..])?;
/// root.add(&Entry::symlink("init", "/bin/init"), std::io::empty())?;
/// let stats = root.finish()?;
/// # assert_eq!(stats.inodes, 4);
/// # Ok::<(), lcow_disk::ext4::layer::LayerError>(())
/// ```
pub struct Writer<W> {
    pub(super) sink: Sink<W>,
    pub(super) tree: Tree,
    pub(super) options: Options,
    /// Hard links whose target has not been seen: path, target.
    pub(super) pending: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) dropped_xattrs: u32,
    tar_bytes: u64,
}

impl<W: Write + Seek> Writer<W> {
    /// Start at byte 0 of `out`, which is overwritten.
    pub fn new(out: W, options: &Options) -> Result<Self, LayerError> {
        Self::reserving(out, options, None)
    }

    fn reserving(out: W, options: &Options, reserve: Option<Reserve<W>>) -> Result<Self, LayerError> {
        let reserved = plan::reserved_blocks(options.max_size);
        Ok(Self {
            sink: Sink::new(out, reserved, options.max_size.min(MAX_DISK), reserve)?,
            tree: Tree::new(),
            options: options.clone(),
            pending: Vec::new(),
            dropped_xattrs: 0,
            tar_bytes: 0,
        })
    }

    /// Put a layer on top of what is there. `tar` is read to its end.
    pub fn add_layer<R: Read>(&mut self, tar: R) -> Result<(), LayerError> {
        self.tree.next_layer();
        let mut tar = Reader::new(BufReader::with_capacity(INPUT_BUFFER, tar));
        while let Some(mut entry) = tar.next_entry()? {
            if self.options.convert_backslashes {
                convert_backslashes(&mut entry);
            }
            self.entry(&entry, &mut tar)?;
        }
        tar.drain()?;
        self.resolve_pending()?;
        self.tar_bytes += tar.offset();
        Ok(())
    }

    /// Add one entry to the layer begun last; the bytes of a file come from `data`. The target of a hard link must be there
    /// already.
    pub fn add<R: Read>(&mut self, entry: &Entry, data: R) -> Result<(), LayerError> {
        self.entry(entry, &mut Plain::new(data, &entry.path))?;
        self.resolve_pending()
    }

    /// Write everything that is not file data: directories, tables, superblock, footer.
    pub fn finish(self) -> Result<LayerStats, LayerError> {
        let Self { sink, tree, options, dropped_xattrs, tar_bytes, .. } = self;
        let done = finish::finish(sink, tree, &options)?;
        Ok(LayerStats { tar_bytes, dropped_xattrs, ..done })
    }

    /// Names of entries may be whiteouts.
    pub(super) fn has_whiteouts(&self) -> bool {
        self.options.whiteouts != Whiteouts::Keep
    }

    /// Removals are written down for the layers below.
    pub(super) fn is_overlay(&self) -> bool {
        self.options.whiteouts == Whiteouts::Overlay
    }
}

fn convert_backslashes(entry: &mut Entry) {
    for byte in entry.path.iter_mut().chain(&mut entry.link) {
        if *byte == b'\\' {
            *byte = b'/';
        }
    }
}
