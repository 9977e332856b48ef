use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// How a tar is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
}

impl Compression {
    /// By the first bytes of a stream.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A data frame, or one to be skipped as zstd:chunked has.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// By the media type of a layer, OCI's or Docker's; `None` for anything that is no Linux layer.
    pub fn of_layer(media_type: &str) -> Option<Self> {
        let distributable = media_type
            .strip_prefix("application/vnd.oci.image.layer.v1.tar")
            .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.diff.tar"))?;
        match distributable {
            "" => Some(Self::None),
            "+gzip" | ".gzip" => Some(Self::Gzip),
            "+zstd" | ".zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Suffix of the media type of a layer packed so.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }

    /// Unpack `source`.
    pub(crate) fn reader<R: Read + Send + 'static>(self, source: R) -> io::Result<Box<dyn Read + Send>> {
        let buffered = BufReader::with_capacity(128 * 1024, source);
        self.buffered_reader(buffered)
    }

    pub(crate) fn buffered_reader<R: BufRead + Send + 'static>(
        self,
        source: R,
    ) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(MultiGzDecoder::new(source)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        })
    }
}
