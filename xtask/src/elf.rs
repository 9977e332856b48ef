//! Whether a program needs shared libraries.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const PT_INTERP: u32 = 3;

/// Whether the 64-bit ELF program at `path` runs without a dynamic loader.
pub(crate) fn is_static(path: &Path) -> Result<bool> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    match interpreter_count(&bytes) {
        Some(count) => Ok(count == 0),
        None => bail!("{} is not a 64-bit ELF program", path.display()),
    }
}

/// How many of the program headers ask for a loader (elf(5)).
fn interpreter_count(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?)).ok()?;
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let (size, count) = (half(54)?, half(56)?);
    let mut found = 0;
    for n in 0..count {
        let at = table.checked_add(n * size)?;
        found += usize::from(bytes.get(at..at.checked_add(4)?)? == PT_INTERP.to_le_bytes());
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_programs_apart() {
        let mut program = vec![0; 64 + 2 * 56];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (program[32], program[54], program[56], program[64], program[120]) = (64, 56, 2, 1, 2);
        assert_eq!(interpreter_count(&program), Some(0));
        program[120] = 3;
        assert_eq!(interpreter_count(&program), Some(1));
        assert_eq!(interpreter_count(&program[..100]), None);
        assert_eq!(interpreter_count(b"#!/bin/sh"), None);
    }
}
