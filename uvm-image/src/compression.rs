//! Compressed byte streams, told apart by their first bytes.

use std::io::{self, Cursor, Read};
use std::thread::available_parallelism;

use flate2::read::{GzDecoder, MultiGzDecoder};
use lzma_rust2::{LzmaReader, XzReader, XzReaderMt};
use ruzstd::decoding::StreamingDecoder;

use crate::initrd::lz4_legacy;

/// How a byte stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed, or in a way this crate does not know.
    None,
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// The older .lzma format ("LZMA alone").
    Lzma,
    /// RFC 8878.
    Zstd,
    /// The frame that `lz4 -l` writes and the Linux kernel reads.
    Lz4Legacy,
}

impl Compression {
    /// The compression that `bytes` begin with; [`Compression::None`] when no known magic number is there.
    pub fn detect(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x5d, 0, 0, ..] => Self::Lzma,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4Legacy,
            _ => Self::None,
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
            Self::Lz4Legacy => "lz4",
        }
    }

    /// A stream of the decompressed content of `bytes`, which must begin as [`Compression::detect`] said. Bytes after
    /// the compressed data are ignored.
    pub fn reader(self, bytes: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::None => Box::new(bytes),
            Self::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Self::Xz => Box::new(XzReader::new(bytes, false)),
            // No memory limit: the files are the user's own kernel packages.
            Self::Lzma => Box::new(LzmaReader::new_mem_limit(bytes, u32::MAX, None)?),
            Self::Zstd => Box::new(StreamingDecoder::new(bytes).map_err(io::Error::other)?),
            Self::Lz4Legacy => Box::new(Cursor::new(lz4_legacy::decompress(bytes)?)),
        })
    }

    /// Like [`Compression::reader`], using every processor where the format allows it; for large packages.
    pub fn parallel_reader(self, bytes: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Xz => {
                let workers = available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
                Ok(Box::new(XzReaderMt::new(Cursor::new(bytes), false, workers)?))
            }
            other => other.reader(bytes),
        }
    }

    /// The content of the first compressed stream in `bytes`, whatever follows it.
    pub(crate) fn member(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            // Bytes after the stream would be taken for the header of a second one.
            Self::Gzip => GzDecoder::new(bytes).read_to_end(&mut out)?,
            _ => self.reader(bytes)?.read_to_end(&mut out)?,
        };
        Ok(out)
    }

    /// The whole decompressed content of `bytes`.
    pub fn decompress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.reader(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn reads_back_what_each_format_holds() {
        let text = b"the utility VM ".repeat(1000);
        for (format, packed) in [
            (Compression::Gzip, testing::gzip(&text)),
            (Compression::Xz, testing::xz(&text)),
            (Compression::Lz4Legacy, lz4_legacy::compress(&text).unwrap()),
            (Compression::Zstd, testing::zstd(&text)),
            (Compression::None, text.clone()),
        ] {
            assert_eq!(Compression::detect(&packed), format);
            assert_eq!(format.decompress(&packed).unwrap(), text, "{format:?}");
            let mut parallel = Vec::new();
            format.parallel_reader(&packed).unwrap().read_to_end(&mut parallel).unwrap();
            assert_eq!(parallel, text, "{format:?} in parallel");
        }
    }

    #[test]
    fn a_truncated_stream_is_an_error() {
        let packed = testing::xz(&b"the utility VM ".repeat(1000));
        assert!(Compression::Xz.decompress(&packed[..packed.len() / 2]).is_err());
        let packed = testing::gzip(&b"the utility VM ".repeat(1000));
        assert!(Compression::Gzip.decompress(&packed[..packed.len() / 2]).is_err());
    }
}
