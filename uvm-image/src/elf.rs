//! What boot files need to know of ELF files: module information, PVH notes, whether a program is static.

use object::elf::{EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, NoteType, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, read};

/// `XEN_ELFNOTE_PHYS32_ENTRY`: the note with a kernel's 32-bit PVH entry (xen/include/public/elfnote.h).
const PHYS32_ENTRY: NoteType = NoteType(18);

type Header = FileHeader64<Endianness>;

/// Why a file is no usable ELF file.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file's structure is wrong.
    #[error("not a 64-bit ELF file, or a damaged one")]
    Malformed(#[from] read::Error),
    /// The file is for another machine.
    #[error("an ELF file for another machine than x86-64 (machine number {0})")]
    Machine(u16),
    /// The file is an object file, a core dump …
    #[error("an ELF file, but not a program (type {0})")]
    NotAProgram(u16),
    /// The program asks for a dynamic loader.
    #[error(
        "dynamically linked (it asks for {interpreter}); a utility VM has no shared libraries, link it statically"
    )]
    Dynamic {
        /// The loader it asks for.
        interpreter: String,
    },
}

/// The bytes of the section `.modinfo` of a kernel module; `None` when it has none.
pub fn modinfo(module: &[u8]) -> Result<Option<&[u8]>, ElfError> {
    let header = Header::parse(module)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, module)?;
    match sections.section_by_name(endian, b".modinfo") {
        Some((_, section)) => Ok(Some(section.data(endian, module)?)),
        None => Ok(None),
    }
}

/// Checks that `kernel` is an x86-64 ELF program and says whether it carries the PVH entry note, which lets a VMM start
/// it without a boot loader.
pub fn kernel_has_pvh_note(kernel: &[u8]) -> Result<bool, ElfError> {
    let (header, endian) = program(kernel)?;
    for segment in header.program_headers(endian, kernel)? {
        let Some(mut notes) = segment.notes(endian, kernel)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == b"Xen" && note.n_type(endian) == PHYS32_ENTRY {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Checks that `program` runs on x86-64 without a dynamic loader.
pub fn check_static_program(bytes: &[u8]) -> Result<(), ElfError> {
    let (header, endian) = program(bytes)?;
    for segment in header.program_headers(endian, bytes)? {
        if segment.p_type(endian) == PT_INTERP {
            let name = segment.interpreter(endian, bytes)?.unwrap_or_default();
            return Err(ElfError::Dynamic { interpreter: String::from_utf8_lossy(name).into_owned() });
        }
    }
    Ok(())
}

fn program(bytes: &[u8]) -> Result<(&Header, Endianness), ElfError> {
    let header = Header::parse(bytes)?;
    let endian = header.endian()?;
    let machine = header.e_machine(endian);
    if machine != EM_X86_64 {
        return Err(ElfError::Machine(machine.0));
    }
    let kind = header.e_type(endian);
    if kind != ET_EXEC && kind != ET_DYN {
        return Err(ElfError::NotAProgram(kind.0));
    }
    Ok((header, endian))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn finds_modinfo() {
        let module = testing::module(&["depends=crc16", "name=ext4"]);
        assert_eq!(modinfo(&module).unwrap().unwrap(), b"depends=crc16\0name=ext4\0");
        let plain = testing::elf(1, &[], &[(".text", b"code")]);
        assert!(modinfo(&plain).unwrap().is_none());
        assert!(modinfo(b"not an ELF file").is_err());
        assert!(modinfo(&module[..module.len() - 40]).is_err());
    }

    #[test]
    fn tells_pvh_kernels() {
        assert!(kernel_has_pvh_note(&testing::vmlinux(true)).unwrap());
        assert!(!kernel_has_pvh_note(&testing::vmlinux(false)).unwrap());
    }

    #[test]
    fn only_static_programs_pass() {
        check_static_program(&testing::static_program()).unwrap();
        let dynamic = testing::elf(3, &[(3, b"/lib64/ld.so\0"), (1, b"code")], &[]);
        let error = check_static_program(&dynamic).unwrap_err().to_string();
        assert!(error.contains("/lib64/ld.so"), "{error}");
        assert!(matches!(check_static_program(&testing::module(&[])), Err(ElfError::NotAProgram(1))));
        assert!(check_static_program(b"#!/bin/sh\n").is_err());
        let mut arm = testing::static_program();
        arm[18] = 183;
        assert!(matches!(check_static_program(&arm), Err(ElfError::Machine(183))));
    }
}
