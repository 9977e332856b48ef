//! What a module says about itself: the NUL-separated texts of its section `.modinfo` (ELF64, little endian).

/// Names of the modules that this one needs; empty for a file that is no module.
pub(super) fn depends(file: &[u8]) -> Vec<String> {
    let section = modinfo(file).unwrap_or_default();
    let texts = section.split(|byte| *byte == 0).filter_map(|text| text.strip_prefix(b"depends="));
    let names = texts.flat_map(|text| text.split(|byte| *byte == b','));
    names.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

fn modinfo(file: &[u8]) -> Option<&[u8]> {
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(u64_at(file, 0x28)?).ok()?;
    let (entry, count, names) = (u16_at(file, 0x3a)?, u16_at(file, 0x3c)?, u16_at(file, 0x3e)?);
    let header = |index: u16| -> Option<&[u8]> {
        let at = table.checked_add(usize::from(index).checked_mul(usize::from(entry))?)?;
        file.get(at..at.checked_add(64)?)
    };
    let content = |header: &[u8]| -> Option<&[u8]> {
        let at = usize::try_from(u64_at(header, 0x18)?).ok()?;
        let length = usize::try_from(u64_at(header, 0x20)?).ok()?;
        file.get(at..at.checked_add(length)?)
    };
    let names = content(header(names)?)?;
    let section = (0..count).filter_map(header).find(|header| {
        let name = header.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
        name.and_then(|at| names.get(at..)).is_some_and(|name| name.starts_with(b".modinfo\0"))
    })?;
    content(section)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file with nothing but the sections `.modinfo` and `.shstrtab`.
    pub(in crate::kernel_modules) fn module(info: &str) -> Vec<u8> {
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let info_at = file.len();
        file.extend_from_slice(info.as_bytes());
        let names_at = file.len();
        file.extend_from_slice(names);
        let table = file.len();
        for (name, at, length) in [(0_u32, 0, 0), (1, info_at, info.len()), (10, names_at, names.len())] {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(at as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(length as u64).to_le_bytes());
            file.extend_from_slice(&header);
        }
        file[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        file[0x3a..0x40].copy_from_slice(&[64, 0, 3, 0, 2, 0]);
        file
    }

    #[test]
    fn the_names_of_what_a_module_needs_are_read() {
        let file = module("license=GPL\0depends=nvidia,i2c-core\0name=nvidia_drm\0");
        assert_eq!(depends(&file), ["nvidia", "i2c-core"]);
        assert!(depends(&module("depends=\0")).is_empty());
    }

    #[test]
    fn rubbish_needs_nothing() {
        let file = module("depends=x\0");
        for cut in 0..file.len() {
            depends(&file[..cut]);
        }
        assert!(depends(b"#!/bin/sh").is_empty());
    }
}
