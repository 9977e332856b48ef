//! The x86 boot protocol's kernel image (kernel Documentation/arch/x86/boot.rst): its release and the ELF kernel inside.

use std::io;

use crate::compression::Compression;
use crate::elf::{self, ElfError};

const SETUP_SECTS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const KERNEL_VERSION: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// How Linux can be compressed beside what [`Compression`] reads, and how that begins.
const UNREAD: &[(&str, &[u8])] = &[("bzip2", b"BZh"), ("LZO", b"\x89LZO\0\r\n\x1a\n")];

/// Why an image cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum BzImageError {
    /// It has no boot protocol header.
    #[error("it is not an x86 bzImage (no HdrS header)")]
    NotABzImage,
    /// It is older than the payload fields, that is older than Linux 2.6.26.
    #[error("its boot protocol version {0:#06x} is too old: 0x0208 is needed")]
    TooOld(u16),
    /// It names no release.
    #[error("it does not say which kernel release it is")]
    NoRelease,
    /// The payload lies outside the file.
    #[error("it is truncated: the kernel inside would end at byte {end}, the file has {len}")]
    Truncated {
        /// Where the payload should end.
        end: usize,
        /// The file's length.
        len: usize,
    },
    /// The payload's compression is one of Linux's that nothing here reads.
    #[error(
        "the kernel inside is compressed with {0}, which cannot be unpacked here; gzip, xz, lzma, lz4 and zstd can"
    )]
    Unread(&'static str),
    /// The payload's compression is unknown.
    #[error(
        "the kernel inside is compressed in an unknown way (it begins with {0:02x?}); gzip, xz, lzma, lz4 and zstd are known"
    )]
    UnknownCompression(Vec<u8>),
    /// The payload does not decompress.
    #[error("the kernel inside does not decompress")]
    Decompress(#[from] io::Error),
    /// The payload's size is not what it says.
    #[error("the kernel inside has {actual} bytes, but says {stated}")]
    Size {
        /// What the payload says.
        stated: usize,
        /// What came out.
        actual: usize,
    },
    /// The payload is not a kernel.
    #[error("the kernel inside is unusable")]
    Elf(#[from] ElfError),
}

/// The ELF kernel from inside a bzImage.
#[derive(Debug, Clone)]
pub struct Vmlinux {
    /// The ELF file.
    pub bytes: Vec<u8>,
    /// Whether a VMM can start it directly (PVH).
    pub pvh: bool,
}

/// The release the image names: the first word of its version text.
pub fn release(image: &[u8]) -> Result<String, BzImageError> {
    check_header(image)?;
    let pointer = half(image, KERNEL_VERSION).ok_or(BzImageError::NotABzImage)?;
    let text =
        image.get(usize::from(pointer) + 0x200..).filter(|_| pointer != 0).ok_or(BzImageError::NoRelease)?;
    let end = text.iter().position(|b| matches!(b, 0 | b' ')).ok_or(BzImageError::NoRelease)?;
    match std::str::from_utf8(&text[..end]) {
        // It becomes the name of a directory.
        Ok(name) if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => Ok(name.to_owned()),
        _ => Err(BzImageError::NoRelease),
    }
}

/// Unpacks the ELF kernel in `image`.
pub fn extract(image: &[u8]) -> Result<Vmlinux, BzImageError> {
    let payload = payload(image)?;
    let bytes = unpack(payload)?;
    let pvh = elf::kernel_has_pvh_note(&bytes)?;
    Ok(Vmlinux { bytes, pvh })
}

fn payload(image: &[u8]) -> Result<&[u8], BzImageError> {
    check_header(image)?;
    // Zero means four, for the boot loaders of 1991.
    let sectors = match image[SETUP_SECTS] {
        0 => 4,
        n => usize::from(n),
    };
    let field = |at| word(image, at).ok_or(BzImageError::NotABzImage);
    let start = (sectors + 1) * 512 + field(PAYLOAD_OFFSET)?;
    let end = start + field(PAYLOAD_LENGTH)?;
    image.get(start..end).ok_or(BzImageError::Truncated { end, len: image.len() })
}

fn unpack(payload: &[u8]) -> Result<Vec<u8>, BzImageError> {
    let compression = Compression::detect(payload);
    match compression {
        Compression::None if payload.starts_with(b"\x7fELF") => Ok(payload.to_vec()),
        Compression::None => {
            let unread = UNREAD.iter().find(|(_, start)| payload.starts_with(start));
            let unknown = || BzImageError::UnknownCompression(payload.iter().take(8).copied().collect());
            Err(unread.map_or_else(unknown, |(name, _)| BzImageError::Unread(name)))
        }
        // Gzip ends in the size itself; behind the other formats the kernel's build appends it.
        Compression::Gzip => Ok(compression.decompress(payload)?),
        _ => {
            let (packed, size) = payload.split_at(payload.len() - 4);
            let stated = word(size, 0).unwrap_or_default();
            let bytes = compression.decompress(packed)?;
            if bytes.len() != stated {
                return Err(BzImageError::Size { stated, actual: bytes.len() });
            }
            Ok(bytes)
        }
    }
}

fn check_header(image: &[u8]) -> Result<(), BzImageError> {
    if image.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        return Err(BzImageError::NotABzImage);
    }
    match half(image, VERSION) {
        Some(version) if version >= 0x0208 => Ok(()),
        Some(version) => Err(BzImageError::TooOld(version)),
        None => Err(BzImageError::NotABzImage),
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initrd::lz4_legacy;
    use crate::testing;

    fn with_size(mut packed: Vec<u8>, size: usize) -> Vec<u8> {
        packed.extend_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        packed
    }

    #[test]
    fn unpacks_the_kernel_however_it_is_compressed() {
        let kernel = testing::vmlinux(true);
        for payload in [
            kernel.clone(),
            testing::gzip(&kernel),
            with_size(testing::xz(&kernel), kernel.len()),
            with_size(testing::zstd(&kernel), kernel.len()),
            with_size(lz4_legacy::compress(&kernel).unwrap(), kernel.len()),
        ] {
            let vmlinux = extract(&testing::bzimage("6.1.0 (x) #1", &payload)).unwrap();
            assert_eq!(vmlinux.bytes, kernel);
            assert!(vmlinux.pvh);
        }
        let plain = extract(&testing::xz_bzimage("6.1.0", &testing::vmlinux(false))).unwrap();
        assert!(!plain.pvh);
    }

    #[test]
    fn reads_the_release() {
        let image = testing::xz_bzimage("6.1.0-56-amd64 (debian) #1", &testing::vmlinux(true));
        assert_eq!(release(&image).unwrap(), "6.1.0-56-amd64");
        assert!(matches!(release(&testing::bzimage("", b"x")), Err(BzImageError::NoRelease)));
        assert!(matches!(release(&testing::bzimage("../x ", b"x")), Err(BzImageError::NoRelease)));
    }

    #[test]
    fn damage_is_named() {
        let kernel = testing::vmlinux(true);
        let image = testing::xz_bzimage("6.1.0", &kernel);
        assert!(matches!(extract(&image[..image.len() - 80]), Err(BzImageError::Truncated { .. })));
        assert!(matches!(extract(b"MZ"), Err(BzImageError::NotABzImage)));
        let wrong_size = testing::bzimage("6.1.0", &with_size(testing::xz(&kernel), 5));
        assert!(matches!(extract(&wrong_size), Err(BzImageError::Size { stated: 5, .. })));
        let odd = testing::bzimage("6.1.0", b"no known mark");
        assert!(matches!(extract(&odd), Err(BzImageError::UnknownCompression(_))));
        for (name, start) in [("bzip2", &b"BZh91AY&SY"[..]), ("LZO", b"\x89LZO\0\r\n\x1a\n\x10\x30")] {
            let odd = extract(&testing::bzimage("6.1.0", start));
            assert!(matches!(odd, Err(BzImageError::Unread(found)) if found == name), "{name}");
        }
        let text = testing::bzimage("6.1.0", &with_size(testing::xz(b"no kernel"), 9));
        assert!(matches!(extract(&text), Err(BzImageError::Elf(_))));
        let mut old = image;
        old[VERSION] = 7;
        old[VERSION + 1] = 2;
        assert!(matches!(extract(&old), Err(BzImageError::TooOld(0x0207))));
    }
}
