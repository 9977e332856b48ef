//! A layer's tar stream becomes a read-only ext4 image in one pass.
//!
//! File data goes to the disk as it comes; names and inodes are kept in memory (about 250 bytes each) and written behind
//! it, the superblock last. The same stream and options always give the same bytes.
//!
//! ```no_run
//! use lcow_disk::ext4::layer::{Options, convert_to_file};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tar = std::fs::File::open("layer.tar")?;
//! let disk = std::fs::File::create("layer.vhd")?;
//! let stats = convert_to_file(tar, &disk, &Options { vhd_footer: true, ..Options::default() })?;
//! println!("{} files, {} bytes", stats.inodes, stats.file_system_bytes);
//! # Ok(())
//! # }
//! ```
mod content;
mod convert;
mod entry;
mod error;
mod finish;
mod links;
mod names;
mod node;
mod plan;
mod reserve;
mod sink;
mod source;
mod stack;
mod tree;

pub use convert::{Writer, convert, convert_to_file};
pub use error::LayerError;

/// What `.wh.` entries of the stream mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whiteouts {
    /// Removals of a layer (OCI image-spec, "Whiteouts"): written the way overlayfs reads them, a character device 0:0
    /// for a removed name and `trusted.overlay.opaque=y` on a directory that hides what is below it.
    #[default]
    Overlay,
    /// Removals that are carried out on what earlier layers brought, and leave no trace: the image is a whole root file
    /// system.
    Apply,
    /// Ordinary files: the stream is a plain archive.
    Keep,
}

/// How an image is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Meaning of whiteouts.
    pub whiteouts: Whiteouts,
    /// Append a fixed VHD footer.
    pub vhd_footer: bool,
    /// Largest file system in bytes. Group descriptors for this size are set aside: 4 KiB for every 16 GiB.
    pub max_size: u64,
    /// Take backslashes in names for slashes, as archives made on Windows may have them.
    pub convert_backslashes: bool,
    /// Store files of up to 128 bytes in their inodes. Never for disks that are mapped into memory: DAX cannot read them.
    pub inline_data: bool,
    /// UUID of the file system and of the VHD; `None` derives one from names, attributes and positions.
    pub uuid: Option<[u8; 16]>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            whiteouts: Whiteouts::default(),
            vhd_footer: false,
            max_size: 128 << 30,
            convert_backslashes: false,
            inline_data: false,
            uuid: None,
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerStats {
    /// Size of the file system in bytes; a VHD footer of 512 bytes may follow.
    pub file_system_bytes: u64,
    /// Inodes in use: files, directories, links, devices, whiteouts.
    pub inodes: u32,
    /// Bytes of tar read.
    pub tar_bytes: u64,
    /// Extended attributes left out because no Linux file system has their name space, or because they would make
    /// overlayfs look elsewhere (`trusted.overlay.*`).
    pub dropped_xattrs: u32,
    /// UUID of the file system.
    pub uuid: [u8; 16],
}
