//! A disk in whatever file: raw, VHD (fixed or dynamic) and VHDX read alike.
use std::io::{self, Read, Seek, SeekFrom};

use crate::Window;
use crate::vhd::{self, DiskType, FOOTER_SIZE, Footer, VhdError};
use crate::vhdx::{self, VhdxError};

/// How the disk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the disk, nothing else.
    Raw,
    /// The bytes of the disk and a footer.
    FixedVhd,
    /// Blocks found by a table.
    DynamicVhd,
    /// Blocks found by a table, checksums, a log.
    Vhdx,
}

/// Why a file cannot be read as a disk.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file failed.
    #[error("reading the disk file")]
    Io(#[from] io::Error),
    /// It is a VHD, and damaged or of a kind that is not supported.
    #[error(transparent)]
    Vhd(#[from] VhdError),
    /// It is a VHDX, and damaged or of a kind that is not supported.
    #[error(transparent)]
    Vhdx(#[from] VhdxError),
}

/// A disk: reads and seeks as if it were raw.
///
/// ```
/// use std::io::{Cursor, Read};
/// use lcow_disk::image::{Format, Image};
/// use lcow_disk::vhd;
/// let mut file = Cursor::new(vec![7; 1024]);
/// vhd::append_footer(&mut file, 1024, [1; 16])?;
/// let mut disk = Image::open(file).unwrap();
/// assert_eq!((disk.format(), disk.size()), (Format::FixedVhd, 1024));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Image<F>(Kind<F>);

#[derive(Debug)]
enum Kind<F> {
    Flat(Window<F>, Format),
    Vhd(vhd::Dynamic<F>),
    Vhdx(vhdx::Reader<F>),
}

impl<F: Read + Seek> Image<F> {
    /// Find out what `file` is. What has the signature of a VHD or VHDX must be a good one; all else is raw.
    pub fn open(mut file: F) -> Result<Self, ImageError> {
        let length = file.seek(SeekFrom::End(0))?;
        if vhdx::is_vhdx(&mut file)? {
            return Ok(Self(Kind::Vhdx(vhdx::Reader::open(file)?)));
        }
        let raw = |file, size, format| Ok(Self(Kind::Flat(Window::new(file, 0, size), format)));
        let Some(footer) = vhd::find_footer(&mut file)? else { return raw(file, length, Format::Raw) };
        match footer.disk_type {
            DiskType::Fixed => raw(file, fixed_size(&footer, length)?, Format::FixedVhd),
            DiskType::Dynamic => Ok(Self(Kind::Vhd(vhd::Dynamic::open(file)?))),
            DiskType::Differencing => Err(VhdError::Differencing.into()),
        }
    }

    /// How it is stored.
    pub fn format(&self) -> Format {
        match &self.0 {
            Kind::Flat(_, format) => *format,
            Kind::Vhd(_) => Format::DynamicVhd,
            Kind::Vhdx(_) => Format::Vhdx,
        }
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Kind::Flat(window, _) => window.length(),
            Kind::Vhd(disk) => disk.size(),
            Kind::Vhdx(disk) => disk.size(),
        }
    }
}

fn fixed_size(footer: &Footer, length: u64) -> Result<u64, VhdError> {
    let stored = length.saturating_sub(FOOTER_SIZE as u64);
    if footer.size > stored {
        return Err(VhdError::Truncated { size: footer.size, stored });
    }
    Ok(footer.size)
}

impl<F: Read + Seek> Read for Image<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Flat(disk, _) => disk.read(buffer),
            Kind::Vhd(disk) => disk.read(buffer),
            Kind::Vhdx(disk) => disk.read(buffer),
        }
    }
}

impl<F: Read + Seek> Seek for Image<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Kind::Flat(disk, _) => disk.seek(to),
            Kind::Vhd(disk) => disk.seek(to),
            Kind::Vhdx(disk) => disk.seek(to),
        }
    }
}
