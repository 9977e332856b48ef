//! Adding sections to a PE program (Microsoft PE/COFF specification).

const PE_OFFSET: usize = 0x3c;
const COFF_HEADER: usize = 24;
const SECTION_HEADER: usize = 40;
/// Readable, initialised data.
const SECTION_FLAGS: u32 = 0x4000_0040;
/// Firmware maps sections at pages, whatever the header says of alignment.
const PAGE: u32 = 4096;
/// What is added must stay far below the limit of PE's 32-bit sizes.
const MAX_SECTION: usize = 1 << 30;

/// Why a section cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// The file is something else.
    #[error("it is not a 64-bit PE program")]
    NotPe,
    /// The table of sections is full.
    #[error("its header has no room for {0} more sections")]
    NoRoom(usize),
    /// A section is too large.
    #[error("section {name} has {len} bytes, more than a PE program can hold")]
    TooLarge {
        /// The section.
        name: &'static str,
        /// Its size.
        len: usize,
    },
}

/// A section to add.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    /// Its name, at most 8 bytes.
    pub name: &'static str,
    /// Its content.
    pub data: &'a [u8],
}

/// Where the parts of a PE header are.
struct Header {
    pe: usize,
    optional: usize,
    table: usize,
    count: usize,
}

impl Header {
    fn find(program: &[u8]) -> Result<Self, PeError> {
        let not_pe = PeError::NotPe;
        if !program.starts_with(b"MZ") {
            return Err(not_pe);
        }
        let pe = word(program, PE_OFFSET).ok_or(not_pe)? as usize;
        let count = usize::from(half(program, pe.saturating_add(6)).ok_or(not_pe)?);
        let optional = pe + COFF_HEADER;
        let table = optional + usize::from(half(program, pe + 20).ok_or(not_pe)?);
        let is_pe = program.get(pe..pe + 4) == Some(b"PE\0\0") && half(program, optional) == Some(0x20b);
        let header = Self { pe, optional, table, count };
        if !is_pe || program.len() < header.entry(count) {
            return Err(not_pe);
        }
        Ok(header)
    }

    fn entry(&self, index: usize) -> usize {
        self.table + index * SECTION_HEADER
    }
}

/// `program` with `sections` behind its own, each at the next free page.
pub fn append(program: &[u8], sections: &[Section<'_>]) -> Result<Vec<u8>, PeError> {
    let header = Header::find(program)?;
    let not_pe = PeError::NotPe;
    let file_alignment = word(program, header.optional + 36).filter(|n| n.is_power_of_two()).ok_or(not_pe)?;
    let headers_end = word(program, header.optional + 60).ok_or(not_pe)? as usize;
    if header.entry(header.count + sections.len()) > headers_end.min(program.len()) {
        return Err(PeError::NoRoom(sections.len()));
    }
    let mut out = program.to_vec();
    let mut address = end_of_image(program, &header)?;
    for (section, index) in sections.iter().zip(header.count..) {
        let len = u32::try_from(section.data.len()).ok().filter(|_| section.data.len() <= MAX_SECTION);
        let too_large = PeError::TooLarge { name: section.name, len: section.data.len() };
        let len = len.ok_or(too_large)?;
        address = address.checked_next_multiple_of(PAGE).ok_or(too_large)?;
        out.resize(out.len().next_multiple_of(file_alignment as usize), 0);
        let offset = u32::try_from(out.len()).map_err(|_| too_large)?;
        out.extend_from_slice(section.data);
        out.resize(out.len().next_multiple_of(file_alignment as usize), 0);
        let stored = len.checked_next_multiple_of(file_alignment).ok_or(too_large)?;
        put_entry(&mut out, header.entry(index), section.name, [len, address, stored, offset]);
        address = address.checked_add(len).ok_or(too_large)?;
    }
    let count = u16::try_from(header.count + sections.len()).map_err(|_| PeError::NoRoom(sections.len()))?;
    out[header.pe + 6..header.pe + 8].copy_from_slice(&count.to_le_bytes());
    let image = address.checked_next_multiple_of(PAGE).ok_or(not_pe)?;
    out[header.optional + 56..header.optional + 60].copy_from_slice(&image.to_le_bytes());
    // A checksum of zero is none; firmware does not look at it.
    out[header.optional + 64..header.optional + 68].fill(0);
    Ok(out)
}

/// The address behind the last section of `program`.
fn end_of_image(program: &[u8], header: &Header) -> Result<u32, PeError> {
    let mut end = word(program, header.optional + 56).ok_or(PeError::NotPe)?;
    for index in 0..header.count {
        let at = header.entry(index);
        let (size, address) = (word(program, at + 8), word(program, at + 12));
        let section_end = size.zip(address).and_then(|(size, address)| address.checked_add(size));
        end = end.max(section_end.ok_or(PeError::NotPe)?);
    }
    Ok(end)
}

/// Size in memory, address, size in the file, offset in the file.
fn put_entry(out: &mut [u8], at: usize, name: &str, numbers: [u32; 4]) {
    let entry = &mut out[at..at + SECTION_HEADER];
    entry.fill(0);
    entry[..name.len()].copy_from_slice(name.as_bytes());
    for (number, at) in numbers.iter().zip((8..).step_by(4)) {
        entry[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    entry[36..40].copy_from_slice(&SECTION_FLAGS.to_le_bytes());
}

/// Refuses what firmware would not take for an EFI program.
pub fn check(program: &[u8]) -> Result<(), PeError> {
    Header::find(program).map(drop)
}

/// The content of the section `name` of `program`, without padding.
pub fn section<'a>(program: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let header = Header::find(program).ok()?;
    (0..header.count).map(|index| header.entry(index)).find_map(|at| {
        let stored = program.get(at..at + 8)?;
        if stored.iter().take_while(|byte| **byte != 0).ne(name.as_bytes()) {
            return None;
        }
        let (len, offset) = (word(program, at + 8)? as usize, word(program, at + 20)? as usize);
        program.get(offset..offset.checked_add(len)?)
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PE program with one section and room for `room` more.
    pub(crate) fn program(room: usize) -> Vec<u8> {
        let mut pe = vec![0; 0x400];
        let table = 0x80 + COFF_HEADER + 0xf0;
        let headers = table + SECTION_HEADER * (1 + room);
        pe[..2].copy_from_slice(b"MZ");
        pe[PE_OFFSET] = 0x80;
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        pe[0x86] = 1;
        pe[0x80 + 20] = 0xf0;
        let optional = 0x80 + COFF_HEADER;
        let mut put = |at: usize, n: u32| pe[at..at + 4].copy_from_slice(&n.to_le_bytes());
        put(optional, 0x20b);
        put(optional + 36, 0x200);
        put(optional + 56, 0x3000);
        put(optional + 60, u32::try_from(headers).unwrap());
        pe.extend([0xcc; 0x200]);
        put_entry(&mut pe, table, ".text", [0x100, 0x1000, 0x200, 0x400]);
        pe
    }

    #[test]
    fn added_sections_are_found_and_do_not_overlap() {
        let data = [7; 5000];
        let sections =
            [Section { name: ".cmdline", data: b"quiet" }, Section { name: ".linux", data: &data }];
        let out = append(&program(2), &sections).unwrap();
        assert_eq!(section(&out, ".cmdline"), Some(&b"quiet"[..]));
        assert_eq!(section(&out, ".linux"), Some(&data[..]));
        assert_eq!(section(&out, ".text").unwrap().len(), 0x100);
        assert_eq!(section(&out, ".initrd"), None);
        let header = Header::find(&out).unwrap();
        let address = |index| word(&out, header.entry(index) + 12).unwrap();
        assert_eq!([address(1), address(2)], [0x3000, 0x4000]);
        assert_eq!(word(&out, header.optional + 56), Some(0x6000));
        assert_eq!(out.len() % 0x200, 0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let sections = [Section { name: ".a", data: b"" }, Section { name: ".b", data: b"" }];
        assert_eq!(append(&program(1), &sections), Err(PeError::NoRoom(2)));
        for bad in [&b"MZ"[..], b"", b"\x7fELF", &program(1)[..0x90]] {
            assert_eq!(append(bad, &[]).unwrap_err(), PeError::NotPe);
        }
    }
}
