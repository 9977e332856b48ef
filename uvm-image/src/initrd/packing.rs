//! How an initrd is compressed, which the kernel's configuration decides.

use std::io::{self, Write};

use flate2::Compression as Level;
use flate2::write::GzEncoder;

use super::lz4_legacy::Packer;
use crate::kernel::config::KernelConfig;

/// A kernel that cannot unpack any initrd made here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the kernel can unpack neither an LZ4 nor a gzip initrd: {0}")]
pub struct NoPacking(&'static str);

/// How an initrd is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Unpacks fastest at boot.
    Lz4,
    /// What nearly every kernel can unpack.
    Gzip,
}

impl Packing {
    /// The best compression that a kernel configured as `config` can unpack.
    pub fn choose(config: &KernelConfig) -> Result<Self, NoPacking> {
        if !config.has("CONFIG_BLK_DEV_INITRD") {
            return Err(NoPacking("it is built without CONFIG_BLK_DEV_INITRD"));
        }
        match (config.has("CONFIG_RD_LZ4"), config.has("CONFIG_RD_GZIP")) {
            (true, _) => Ok(Self::Lz4),
            (false, true) => Ok(Self::Gzip),
            (false, false) => Err(NoPacking("it is built without CONFIG_RD_LZ4 and CONFIG_RD_GZIP")),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Gzip => "gzip",
        }
    }

    /// What `fill` writes, compressed; that is some `expected` bytes.
    pub fn pack(
        self,
        expected: usize,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        match self {
            Self::Lz4 => {
                let mut packer = Packer::new(expected)?;
                fill(&mut packer)?;
                packer.finish()
            }
            Self::Gzip => {
                // The encoder's header has no time and no name, so equal archives give equal bytes.
                let mut encoder = GzEncoder::new(Vec::new(), Level::default());
                fill(&mut encoder)?;
                encoder.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::Compression;

    fn choose(options: &str) -> Result<Packing, NoPacking> {
        Packing::choose(&KernelConfig::parse(options))
    }

    #[test]
    fn follows_the_kernel() {
        let initrd = "CONFIG_BLK_DEV_INITRD=y\n";
        assert_eq!(choose(&format!("{initrd}CONFIG_RD_GZIP=y\nCONFIG_RD_LZ4=y\n")), Ok(Packing::Lz4));
        assert_eq!(
            choose(&format!("{initrd}CONFIG_RD_GZIP=y\n# CONFIG_RD_LZ4 is not set\n")),
            Ok(Packing::Gzip)
        );
        let error = choose(&format!("{initrd}CONFIG_RD_XZ=y\n")).unwrap_err().to_string();
        assert!(error.contains("CONFIG_RD_LZ4"), "{error}");
        let error = choose("CONFIG_RD_LZ4=y\n").unwrap_err().to_string();
        assert!(error.contains("CONFIG_BLK_DEV_INITRD"), "{error}");
    }

    #[test]
    fn packs_what_unpacks_again() {
        for (packing, expected) in
            [(Packing::Lz4, Compression::Lz4Legacy), (Packing::Gzip, Compression::Gzip)]
        {
            let packed = packing.pack(7, |out| out.write_all(b"archive")).unwrap();
            assert_eq!(Compression::detect(&packed), expected);
            assert_eq!(expected.decompress(&packed).unwrap(), b"archive");
        }
    }
}
