//! Long names and the short ones that stand for them.
use super::FatError;

/// Longest long name in UTF-16 units.
const MAX_NAME: usize = 255;

/// Both names of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) long: String,
    /// Eight and three characters, padded with blanks.
    pub(super) short: [u8; 11],
    /// The short name says everything.
    pub(super) is_short: bool,
}

impl Name {
    /// `taken` are the short names that the directory already has.
    pub(super) fn new(long: &str, taken: &[[u8; 11]], path: &str) -> Result<Self, FatError> {
        if matches!(long, "." | "..") || long.encode_utf16().count() > MAX_NAME {
            return Err(refuse(path, "is no name for a file"));
        }
        if long.chars().any(|c| c.is_control() || "\"*/:<>?\\|".contains(c)) || long.ends_with(['.', ' ']) {
            return Err(refuse(path, "has characters that FAT names cannot have"));
        }
        let (base, extension) =
            long.rsplit_once('.').filter(|(base, _)| !base.is_empty()).unwrap_or((long, ""));
        let (base, base_kept) = shorten(base, 8);
        let (extension, extension_kept) = shorten(extension, 3);
        let plain = join(&base, &extension);
        if base_kept && extension_kept && !taken.contains(&plain) {
            let is_short = printed(&plain) == long;
            return Ok(Self { long: long.to_owned(), short: plain, is_short });
        }
        let numbered = |number: u32| {
            let tail = format!("~{number}");
            let kept = base.len().min(8 - tail.len());
            join(&[&base[..kept], tail.as_bytes()].concat(), &extension)
        };
        let short = (1..1_000_000).map(numbered).find(|short| !taken.contains(short));
        let short = short.ok_or_else(|| refuse(path, "has too many similar names beside it"))?;
        Ok(Self { long: long.to_owned(), short, is_short: false })
    }

    /// Sum over the short name by which long entries are tied to it.
    pub(super) fn checksum(&self) -> u8 {
        self.short.iter().fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
    }
}

/// The characters a short name may have, at most `length`, and whether none but their case was changed.
fn shorten(part: &str, length: usize) -> (Vec<u8>, bool) {
    let mut kept = true;
    let mut short = Vec::new();
    for c in part.chars() {
        match c.to_ascii_uppercase() {
            c if c.is_ascii_alphanumeric() || "$%'-_@~`!(){}^#&".contains(c) => short.push(c as u8),
            ' ' | '.' => kept = false,
            _ => {
                kept = false;
                short.push(b'_');
            }
        }
    }
    kept &= short.len() <= length;
    short.truncate(length);
    (short, kept)
}

fn join(base: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

fn printed(short: &[u8; 11]) -> String {
    let text = |part: &[u8]| String::from_utf8_lossy(part).trim_end().to_owned();
    match text(&short[8..]) {
        extension if extension.is_empty() => text(&short[..8]),
        extension => format!("{}.{extension}", text(&short[..8])),
    }
}

pub(super) fn refuse(path: &str, reason: &'static str) -> FatError {
    FatError::Name { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_unique() {
        let mut taken = Vec::new();
        let mut short = |long: &str| {
            let name = Name::new(long, &taken, long).unwrap();
            taken.push(name.short);
            (String::from_utf8(name.short.to_vec()).unwrap(), name.is_short)
        };
        assert_eq!(short("BOOTX64.EFI"), ("BOOTX64 EFI".into(), true));
        assert_eq!(short("kernel"), ("KERNEL     ".into(), false));
        assert_eq!(short("initrd.img.old"), ("INITRD~1OLD".into(), false));
        assert_eq!(short("initrd.new.old"), ("INITRD~2OLD".into(), false));
        assert_eq!(short(".config"), ("CONFIG~1   ".into(), false));
        assert_eq!(short("Müll"), ("M_LL~1     ".into(), false));
        assert!(Name::new("a:b", &[], "").is_err());
    }
}
